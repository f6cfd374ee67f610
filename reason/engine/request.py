"""What is asked of an engine and what comes of it, the same for all: tokens of a prompt, stop texts, errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

GREEDY = 1e-5  # temperatures below are greedy
PRIME = 6  # prompt tokens that a continuation is decoded after, so that its leading space survives


class EngineError(Exception):
    """A request cannot be answered. `type` is a word for programs, such as "OutOfRange"; `retryable` tells whether the
    same request may succeed another time.
    """

    def __init__(self, type: str, message: str, retryable: bool = False) -> None:
        super().__init__(message)
        self.type, self.retryable = type, retryable


@dataclass(frozen=True)
class GenerateRequest:
    """One request: `len(seeds)` samples that continue `prompt_ids`."""

    prompt_ids: list[int]
    seeds: list[int]  # 64-bit unsigned, one a sample
    temperature: float  # 0 is greedy
    top_p: float
    top_k: int  # -1 is off
    max_tokens: int
    stop: tuple[str, ...]
    stop_token_ids: tuple[int, ...]
    include_stop: bool = True
    logprobs_of: tuple[int, ...] = ()  # tokens whose log-probability as the first one generated is told
    ignore_eos: bool = False  # write on past the end-of-text token, to max_tokens; for measurements
    continued: bool = True  # whether a later prompt may begin with prompt and sample; else their keys are not kept


@dataclass(frozen=True)
class Generated:
    """One finished sample. `token_ids` holds the end token, `text` does not."""

    text: str
    token_ids: list[int]
    logprob: float  # of the distribution sampled from; greedy: of the model's own
    finish_reason: str  # "stop" | "length"
    logprobs_of: tuple[float, ...] = ()  # as the request's
    reused: int = field(default=0, compare=False)  # tokens of the prompt whose keys and values were there already


class LMEngine(Protocol):
    """What an engine does. Its samples are functions of request and seed, whatever else is under way."""

    tokenizer: Any
    context: int  # tokens of prompt and sample together
    vocabulary: int

    async def generate(self, request: GenerateRequest) -> list[Generated]:
        """One sample for each seed. Raises EngineError; when cancelled, its samples end."""
        ...

    def stream(self, request: GenerateRequest) -> AsyncIterator[Generated]:
        """The only sample of a request as it grows; the last one is whole, the others have no finish reason."""
        ...

    async def push(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Compute with these weights, by their names in the checkpoint, once no sample is under way; what was computed
        with others is forgotten. Raises EngineError.
        """
        ...

    async def push_folder(self, folder: Path) -> None:
        """The same with the weights in a folder's safetensors files. Raises EngineError."""
        ...

    def details(self) -> dict[str, Any]:
        """engine, context_length, dtype and version."""
        ...

    def close(self) -> None:
        """End what was started; requests under way fail."""
        ...


def encode_prompt(tokenizer: Any, prompt: str) -> list[int]:
    """Token ids of a prompt; the tokenizer's own first token is added unless the text already has it.

    Raises EngineError for a text that is not valid Unicode.
    """
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise EngineError("BadRequest", f"the text is not valid Unicode: {error.reason} at {error.start}") from None
    bos = tokenizer.bos_token
    return tokenizer.encode(prompt, add_special_tokens=not (bos and prompt.startswith(bos)))


def new_request(
    engine: LMEngine,
    prompt: str | Sequence[int],
    seeds: Sequence[int],
    temperature: float = 1.0,
    top_p: float = 1.0,
    top_k: int = -1,
    max_tokens: int = 256,
    stop: Sequence[str] = (),
    stop_token_ids: Sequence[int] = (),
    **more: Any,
) -> GenerateRequest:
    """A request that the engine can answer: the prompt as tokens, everything within the engine's bounds.

    A stop text that is a special token stops by its id, because decoded texts never show it. Raises EngineError.
    """
    ids = encode_prompt(engine.tokenizer, prompt) if isinstance(prompt, str) else list(prompt)
    if not all(type(i) is int and 0 <= i < engine.vocabulary for i in ids):
        raise EngineError("BadRequest", f"prompt_token_ids: a list of integers in [0, {engine.vocabulary}) is needed")
    if not ids:
        raise EngineError("BadRequest", "the prompt is empty")
    if len(ids) >= engine.context:
        message = f"the prompt has {len(ids)} tokens, the model's context {engine.context}"
        raise EngineError("ContextOverflow", message)
    special = {token.content: i for i, token in engine.tokenizer.added_tokens_decoder.items() if token.special}
    return GenerateRequest(
        prompt_ids=ids,
        seeds=[seed % 2**64 for seed in seeds],
        temperature=0.0 if temperature < GREEDY else temperature,
        top_p=max(top_p, GREEDY),
        top_k=top_k,
        max_tokens=min(max_tokens, engine.context - len(ids)),
        stop=tuple(text for text in stop if text not in special),
        stop_token_ids=(*stop_token_ids, *(special[text] for text in stop if text in special)),
        **more,
    )


def token_ids_of(engine: LMEngine, tokens: Sequence[str | int]) -> tuple[int, ...]:
    """The ids of texts that are one token each, or of ids. Raises EngineError."""
    ids: list[int] = []
    for token in tokens:
        own = engine.tokenizer.encode(token, add_special_tokens=False) if isinstance(token, str) else [token]
        if len(own) != 1 or type(own[0]) is not int or not 0 <= own[0] < engine.vocabulary:
            raise EngineError("BadRequest", f"logprobs_of: {token!r} is not a single token of this model")
        ids += own
    return tuple(ids)


def decode_continuation(tokenizer: Any, prompt_ids: Sequence[int], token_ids: Sequence[int]) -> str:
    """The text that `token_ids` add behind the prompt, special tokens dropped."""
    prime = list(prompt_ids[-PRIME:])
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    return tokenizer.decode(prime + list(token_ids), **options)[len(tokenizer.decode(prime, **options)) :]


def cut_at_stop(text: str, stop: Sequence[str], include: bool) -> str | None:
    """`text` up to the stop text that is complete first, with it or without; None when there is none.

    The same cut as if the text had come one character at a time.
    """
    found = [(start + len(s), start) for s in stop if (start := text.find(s)) >= 0]
    if not found:
        return None
    end, start = min(found)
    return text[: end if include else start]


def finished(
    tokenizer: Any, request: GenerateRequest, token_ids: list[int], logprob: float, reason: str, end_token: bool
) -> Generated:
    """The sample that `token_ids` make; `end_token`: the last one is an end token and no text."""
    text = decode_continuation(tokenizer, request.prompt_ids, token_ids[:-1] if end_token else token_ids)
    if reason == "stop" and not end_token:
        text = cut_at_stop(text, request.stop, request.include_stop) or ""
    return Generated(text, token_ids, logprob, reason)
