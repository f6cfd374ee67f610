"""Loading a language model and its engine: the folder, the context, the end tokens."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from reason.common.errors import UserError
from reason.engine.memory import cache_bytes

if TYPE_CHECKING:
    from reason.engine.transformers_engine import Engine
    from reason.engine.vllm_engine import VLLMEngine

GIB = 2**30
OF_TORCHRUN = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"}
ATTENDING = {"full_attention", "sliding_attention"}  # kinds of layers that the engine's rows can serve


def context_length(config: transformers.PretrainedConfig) -> int:
    """Tokens that the model reads at most; within a sliding window, where it has one. Raises UserError."""
    kinds = set(getattr(config, "layer_types", None) or ["sliding_attention"])
    if not kinds <= ATTENDING:
        raise UserError(f"layers of kind {', '.join(sorted(kinds - ATTENDING))} need the vLLM worker")
    window = getattr(config, "sliding_window", None) if "sliding_attention" in kinds else None
    return min(config.max_position_embeddings, window or config.max_position_embeddings)


def end_tokens(model: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerBase) -> set[int]:
    """Ids that end a text: the generation config's and the tokenizer's."""
    ids = model.generation_config.eos_token_id
    ids = ids if isinstance(ids, list) else [ids]
    return {i for i in [*ids, tokenizer.eos_token_id] if i is not None}


def check_model_path(path: str) -> None:
    """Raises UserError unless `path` is a folder with a model or looks like the id of a hub."""
    if Path(path).is_dir():
        if not any((Path(path) / name).is_file() for name in ("config.json", "adapter_config.json")):
            raise UserError(f"no model in {path}: it has no config.json and no adapter_config.json")
    elif not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", path):
        raise UserError(f"no model at {path}: name its folder with --model-path")


@contextlib.contextmanager
def loading(path: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes one line that names the model: UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise UserError(f"the model {path} cannot be loaded: {type(error).__name__}: {reason}") from error


def tokenizer_of(folder: str, trust_remote_code: bool = False) -> Any:
    """The tokenizer of a model folder or hub id. Raises UserError."""
    check_model_path(folder)
    transformers.utils.logging.disable_progress_bar()  # of the weights, which are loaded next
    with loading(folder):
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)


def load_transformers(
    folder: str,
    tokenizer: Any,
    device: str | None = None,
    dtype: str | None = None,
    context: int | None = None,
    max_samples: int = 1024,
    kv_cache_gib: float | None = None,
    cache_mb: int | None = None,
    trust_remote_code: bool = False,
    kind: type[Engine] | None = None,
) -> Engine:
    """The transformers engine of a folder's model; what is None is chosen for the device; `kind`: a subclass of it.

    Raises UserError.
    """
    from reason.engine.slots import ATTENTION
    from reason.engine.transformers_engine import Engine

    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    number_type = getattr(torch, dtype or ("float32" if device == "cpu" else "bfloat16"))
    with loading(folder):
        model: Any = AutoModelForCausalLM.from_pretrained(
            folder, dtype=number_type, attn_implementation=ATTENTION, trust_remote_code=trust_remote_code
        )
        model.to(torch.device(device)).eval()  # type: ignore[arg-type]
    cache = cache_bytes(device, cache_mb)
    free = torch.cuda.mem_get_info()[0] * 0.8 - cache if device == "cuda" else 4 * GIB
    kv_bytes = int(kv_cache_gib * GIB if kv_cache_gib else free)
    return (kind or Engine)(model, tokenizer, end_tokens(model, tokenizer), max_samples, kv_bytes, cache, context)


def engine_over(model: Any, tokenizer: Any, max_samples: int) -> Engine:
    """The transformers engine over a model that is loaded; on a GPU it takes half of the free memory."""
    from reason.engine.transformers_engine import Engine

    memory = int(torch.cuda.mem_get_info()[0] * 0.5) if model.device.type == "cuda" else 4 * GIB
    return Engine(model, tokenizer, end_tokens(model, tokenizer), max_samples, memory)


def load_vllm(
    folder: str,
    tokenizer: Any,
    dtype: str | None = None,
    context: int | None = None,
    max_samples: int = 1024,
    gpu_memory: float | None = None,
    random_weights: bool = False,
    takes_weights: bool = False,
    trust_remote_code: bool = False,
) -> VLLMEngine:
    """vLLM's engine of a folder's model, to be called in the event loop that it is used in. Raises UserError."""
    try:
        from reason.engine.vllm_engine import AsyncEngineArgs, VLLMEngine, with_defaults
    except ImportError as error:
        raise UserError(f"engine vllm needs the package vllm: {error}") from None
    given: dict[str, Any] = {"max_model_len": context, "gpu_memory_utilization": gpu_memory, "dtype": dtype}
    arguments = AsyncEngineArgs(
        model=folder,
        max_num_seqs=max_samples,
        load_format="dummy" if random_weights else "auto",
        trust_remote_code=trust_remote_code,
        **{name: value for name, value in given.items() if value is not None},
    )
    with loading(folder), own_environment():
        return VLLMEngine(with_defaults(arguments, takes_weights), tokenizer)


@contextlib.contextmanager
def own_environment() -> Iterator[None]:
    """What vLLM's process is to inherit: this process's GPU as its only one, and nothing of torchrun's.

    It is spawned, because a fork of a process whose threads compute may wait for them for ever.
    """
    before = dict(os.environ)
    for name in OF_TORCHRUN:
        os.environ.pop(name, None)
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
    if "RANK" in before and torch.cuda.is_available():
        torch.cuda.empty_cache()
        visible, number = before.get("CUDA_VISIBLE_DEVICES"), torch.cuda.current_device()
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[number] if visible else str(number)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
