"""What is asked of an engine and what comes of it, the same for all: tokens of a prompt, stop texts, errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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

    prompt: str  # for `echo`
    prompt_ids: list[int]
    seeds: list[int]  # 64-bit unsigned, one a sample
    temperature: float  # 0 is greedy
    top_p: float
    top_k: int  # -1 is off
    max_tokens: int
    stop: tuple[str, ...]
    stop_token_ids: tuple[int, ...]
    include_stop: bool
    echo: bool
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
