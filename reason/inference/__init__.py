"""Models by name: the one place where a name becomes a `LanguageModel` or a `RewardModel`.

lm = await open_lm("local:openr-tiny-policy")            # ... and later: await lm.close()
async with open_rm("oracle:noise=0.1", task=task) as rm: ...

NAME               served by a worker at the controller `controller_addr`
local:FOLDER       computed in this process; an embedded model by its name, a hub id where the hub may be used
oracle[:noise=E]   a task's exact oracle, which errs with probability E (open_rm)
openai:URL#MODEL   an OpenAI-compatible server (not yet)
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from reason.common.errors import UserError, unknown
from reason.inference.base import LanguageModel, RewardModel, Stats
from reason.model_cards import card as cards

if TYPE_CHECKING:
    from envs.base_env import Task

CONTROLLER = "http://127.0.0.1:28777"
EMBEDDED = Path(__file__).parents[1] / "llm_service" / "models"

M = TypeVar("M", bound=LanguageModel | RewardModel)


@dataclass(frozen=True)
class LocalOptions:
    """How a model of this process computes. What is None is chosen for the device."""

    engine: str = "transformers"  # of an LM, or "vllm"
    device: str | None = None  # "cpu", "cuda"; default: cuda where there is one
    dtype: str | None = None  # "float32", "bfloat16", "float16"; default: float32 on a CPU, bfloat16 on a GPU
    context: int | None = None  # tokens of a prompt and its sample; default: the model's
    max_samples: int = 1024  # of an LM, under way at a time; others wait
    kv_cache_gib: float | None = None  # transformers engine: for keys and values of the samples under way
    cache_mb: int | None = None  # for what prompts, or a PRM's inputs, begin with alike; 0: nothing is kept
    gpu_memory: float | None = None  # vLLM: share of the GPU's memory that it may take
    random_weights: bool = False  # vLLM: start without the folder's weights, which `push` brings
    takes_weights: bool = False  # whether `push` will be called
    base_model: str | None = None  # of a PRM that is an adapter, where the card names no other
    reference_model: str | None = None  # of an implicit PRM, where the card names no other
    batch_tokens: int | None = None  # of a PRM's pass, with padding
    batch_wait: float | None = None  # seconds that a busy PRM lets a batch fill
    card_flag: str = "--card"  # what a user names a card with, for messages
    trust_remote_code: bool = False  # run code that the model's folder brings


class Opening(Generic[M]):
    """A model that opens when awaited, or for the length of an `async with`."""

    def __init__(self, opened: Callable[[], Coroutine[Any, Any, M]]) -> None:
        self._opened: Callable[[], Coroutine[Any, Any, M]] = opened

    def __await__(self) -> Generator[Any, Any, M]:
        return self._opened().__await__()

    async def __aenter__(self) -> M:
        self._model: M = await self._opened()
        return self._model

    async def __aexit__(self, *exc_info: object) -> None:
        await self._model.close()


def open_lm(
    name: str,
    *,
    controller_addr: str = CONTROLLER,
    request_timeout: float = 600.0,
    card: str | None = None,
    local: LocalOptions = LocalOptions(),
    stats: Stats | None = None,
) -> Opening[LanguageModel]:
    """The policy LM of that name. Opening it raises UserError, ServiceError among them, in one line.

    `card`, a name or a path: a local model's, in place of its own; a served one is refused where it has another.
    `stats`: where it counts what it does.
    """

    async def opened() -> LanguageModel:
        kind, rest = _kind(name, ("local", "openai"))
        if kind == "local":
            from reason.inference.local import LocalLM

            return await LocalLM.load(folder_of(rest), card, local, stats)
        from reason.inference.fastchat import FastChatLM

        lm = await FastChatLM.open(name, controller_addr, request_timeout, stats)
        return await _with_card(lm, name, "lm", card)

    return Opening(opened)


def open_rm(
    name: str,
    *,
    task: Task | None = None,
    seed: int = 0,
    controller_addr: str = CONTROLLER,
    request_timeout: float = 600.0,
    card: str | None = None,
    local: LocalOptions = LocalOptions(),
    stats: Stats | None = None,
) -> Opening[RewardModel]:
    """The reward model of that name. Opening it raises UserError, ServiceError among them, in one line.

    `task`: whose oracle is asked; `seed`: of the rationales that a generative judge writes; for others see `open_lm`.
    """

    async def opened() -> RewardModel:
        kind, rest = _kind(name, ("local", "openai", "oracle"))
        if kind == "oracle":
            from reason.inference.oracle import OracleRM

            if task is None:
                raise UserError(f"{name!r}: there is no task here whose oracle could be asked; name another model")
            return OracleRM(task, name)
        if kind == "local":
            from reason.inference.local import load_rm

            return await load_rm(folder_of(rest), card, local, seed, stats)
        from reason.inference.fastchat import open_fastchat_rm

        rm = await open_fastchat_rm(name, controller_addr, request_timeout, seed, stats)
        return await _with_card(rm, name, "prm", card)

    return Opening(opened)


def folder_of(model: str) -> str:
    """The folder, or hub id, that `local:MODEL` names: an embedded model by its name. Raises UserError."""
    if not model:
        raise UserError("a model of this process is named local:FOLDER")
    path = Path(model).expanduser()
    if path.is_dir():
        return str(path)
    if (EMBEDDED / model).is_dir():
        return str(EMBEDDED / model)
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise UserError(f"there is no folder {model}")
    if "/" in model:
        return model  # of a hub
    embedded = sorted(file.parent.name for file in EMBEDDED.glob("*/config.json"))
    raise UserError(unknown("folder or embedded model", model, embedded))


def _kind(name: str, kinds: tuple[str, ...]) -> tuple[str, str]:
    """("local", "FOLDER") of "local:FOLDER"; ("", NAME) of a name at the controller. Raises UserError."""
    head, colon, rest = name.partition(":")
    if head == "openai":
        raise UserError(f"{name!r}: OpenAI-compatible servers cannot be used yet: serve the model with a worker")
    if head in kinds and (colon or head == "oracle"):
        return head, rest
    if colon:
        raise UserError(unknown("kind of model", head, kinds))
    if name.startswith(("/", "./", "../", "~")):
        raise UserError(f"a model in a folder is named local:{name}")
    if not name:
        raise UserError("a model has no empty name")
    return "", name


async def _with_card(model: M, name: str, kind: str, wanted: str | None) -> M:
    """The served model, unless its card is not the one wanted, field by field. Raises UserError."""
    if wanted is None:
        return model
    try:
        here, served = cards.to_dict(cards.find("", kind, wanted)), cards.to_dict(model.card)
        if not here["chat_template"]:  # the worker fills in the tokenizer's
            here["chat_template"] = served["chat_template"]
        for field in here:
            if here[field] != served[field]:
                raise UserError(
                    f"{name!r} is served with card {served['name']!r}, which differs from {wanted!r} in field "
                    f"{field!r}: serve it with --card {wanted}, or ask for its own card"
                )
    except UserError:
        await model.close()
        raise
    return model
