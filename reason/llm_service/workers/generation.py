"""/worker_generate in and out, the same for every engine: request, tokens of a prompt, stop texts, reply."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fastchat.constants import ErrorCode

from reason.inference.base import HOTTEST, MOST_SAMPLES, MOST_TOKENS
from reason.llm_service.workers.base_worker import Params, WorkerError

PRIME = 6  # prompt tokens that a continuation is decoded after, so that its leading space survives
GREEDY = 1e-5  # temperatures below are greedy
SEED_BITS = 64
MAX_LOGPROBS = 20  # tokens of `logprobs_of`; vLLM tells no more


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

    Raises WorkerError for a text that is not valid Unicode.
    """
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise WorkerError(f"the text is not valid Unicode: {error.reason} at character {error.start}") from None
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


def only_one(request: GenerateRequest) -> None:
    """Raises WorkerError unless the request is for a single sample and no more, as a stream's must be."""
    if len(request.seeds) != 1:
        raise WorkerError("a stream has one sample: n must be 1")
    if request.logprobs_of:
        raise WorkerError("a stream does not tell logprobs_of: use /worker_generate")


def held_back(text: str, stop: Sequence[str]) -> int:
    """How many last characters may be the beginning of a stop text; a stream keeps them until it knows."""
    lengths = range(max(map(len, stop), default=0), 0, -1)
    return next((k for k in lengths if k <= len(text) and any(s.startswith(text[-k:]) for s in stop)), 0)


def read_request(params: Params, tokenizer: Any, context: int, vocabulary: int) -> GenerateRequest:
    """Check the fields of a request, with OpenR's defaults. Raises WorkerError that names the field."""
    prompt, ids = params.get("prompt"), params.get("prompt_token_ids")
    if ids is None:
        if not isinstance(prompt, str):
            raise WorkerError("a request needs a `prompt` (text) or `prompt_token_ids` (list of integers)")
        ids = encode_prompt(tokenizer, prompt)
    elif not (isinstance(ids, list) and all(type(i) is int and 0 <= i < vocabulary for i in ids)):
        raise WorkerError(f"prompt_token_ids: a list of integers in [0, {vocabulary}) is needed")
    if not ids:
        raise WorkerError("the prompt is empty")
    if len(ids) >= context:
        message = f"the prompt has {len(ids)} tokens, the model's context {context}"
        raise WorkerError(message, "ContextOverflow", ErrorCode.CONTEXT_OVERFLOW)
    temperature = _number(params, "temperature", 1.0, 0.0, HOTTEST)
    top_p, top_k = _number(params, "top_p", 1.0, 0.0, 1.0), int(_number(params, "top_k", -1, -1, MOST_TOKENS)) or -1
    logprobs_of = _tokens(params, tokenizer, vocabulary)
    if logprobs_of and (temperature, top_p, top_k) != (1.0, 1.0, -1):
        raise WorkerError("logprobs_of is of the model's own distribution: it needs temperature 1, top_p 1, top_k -1")
    stop = params.get("stop") or ()
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, (list, tuple)) or not all(isinstance(s, str) and s for s in stop):
        raise WorkerError("stop: a text or a list of texts, none empty, is needed")
    stop_token_ids = params.get("stop_token_ids") or []
    if not (isinstance(stop_token_ids, list) and all(type(i) is int and 0 <= i < MOST_TOKENS for i in stop_token_ids)):
        raise WorkerError("stop_token_ids: a list of integers, none negative, is needed")
    special = {token.content: i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    stop_token_ids = stop_token_ids + [special[s] for s in stop if s in special]  # decoded texts never show these
    return GenerateRequest(
        prompt=prompt if isinstance(prompt, str) else "",
        prompt_ids=ids,
        seeds=_seeds(params),
        temperature=0.0 if temperature < GREEDY else temperature,
        top_p=max(top_p, GREEDY),
        top_k=top_k,
        max_tokens=min(int(_number(params, "max_new_tokens", 256, 1, MOST_TOKENS)), context - len(ids)),
        stop=tuple(s for s in stop if s not in special),
        stop_token_ids=tuple(stop_token_ids),
        include_stop=bool(params.get("include_stop_str_in_output", False)),
        echo=bool(params.get("echo", False)),
        logprobs_of=logprobs_of,
        ignore_eos=bool(params.get("ignore_eos", False)),
        continued=bool(params.get("continued", True)),
    )


def _number(params: Params, name: str, default: float, low: float, high: float) -> float:
    value = params.get(name)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise WorkerError(f"{name}: a number in [{low:g}, {high:g}] is needed, not {value!r}", "OutOfRange",
                          ErrorCode.PARAM_OUT_OF_RANGE)  # fmt: skip
    return value


def _tokens(params: Params, tokenizer: Any, vocabulary: int) -> tuple[int, ...]:
    """The ids of `logprobs_of`: texts that are one token each, or ids. Raises WorkerError."""
    wanted = params.get("logprobs_of") or []
    if not isinstance(wanted, list) or len(wanted) > MAX_LOGPROBS:
        raise WorkerError(f"logprobs_of: a list of at most {MAX_LOGPROBS} tokens is needed")
    ids = [tokenizer.encode(t, add_special_tokens=False) if isinstance(t, str) else [t] for t in wanted]
    for token, one in zip(wanted, ids, strict=True):
        if len(one) != 1 or type(one[0]) is not int or not 0 <= one[0] < vocabulary:
            raise WorkerError(f"logprobs_of: {token!r} is not a single token of this model")
    return tuple(one[0] for one in ids)


def _seeds(params: Params) -> list[int]:
    """One seed a sample: `seeds`, or `seed`, seed + 1, ..., or drawn here."""
    seeds, n = params.get("seeds"), params.get("n")
    n = (len(seeds) if isinstance(seeds, list) else 1) if n is None else n
    if type(n) is not int or not 1 <= n <= MOST_SAMPLES:
        raise WorkerError(f"n: an integer from 1 to {MOST_SAMPLES} is needed, not {n!r}", "OutOfRange",
                          ErrorCode.PARAM_OUT_OF_RANGE)  # fmt: skip
    if seeds is None:
        seed = params.get("seed")
        first = secrets.randbits(SEED_BITS) if seed is None else seed
        seeds = [first + i for i in range(n)] if type(first) is int else []
    if not isinstance(seeds, list) or len(seeds) != n or not all(type(s) is int for s in seeds):
        raise WorkerError(f"seed is an integer, seeds a list of n = {n} integers")
    return [s % 2**SEED_BITS for s in seeds]


def finished(
    tokenizer: Any, request: GenerateRequest, token_ids: list[int], logprob: float, reason: str, end_token: bool
) -> Generated:
    """The sample that `token_ids` make; `end_token`: the last one is an end token and no text."""
    text = decode_continuation(tokenizer, request.prompt_ids, token_ids[:-1] if end_token else token_ids)
    if reason == "stop" and not end_token:
        text = cut_at_stop(text, request.stop, request.include_stop) or ""
    return Generated(text, token_ids, logprob, reason)


def stream_chunk(request: GenerateRequest, text: str, tokens: int, done: Generated | None) -> dict[str, Any]:
    """FastChat's chunk: the whole text so far with the prompt where `echo` asks for it; `done` in the last one.

    What may become a stop text, or is half a character, is kept back until it is known.
    """
    if done is None:
        text = text[: len(text) - held_back(text, request.stop)].rstrip("\ufffd")
    return {
        "text": (request.prompt if request.echo else "") + text,
        "usage": usage(len(request.prompt_ids), tokens, done.reused if done else 0),
        "cumulative_logprob": done.logprob if done else None,
        "finish_reason": done.finish_reason if done else None,
    }


def usage(prompt_tokens: int, completion_tokens: int, reused_tokens: int) -> dict[str, int]:
    """OpenR's token counts, the prompt counted once, and how many of its tokens were not computed again."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "reused_tokens": reused_tokens,
    }


def reply(request: GenerateRequest, samples: Sequence[Generated]) -> dict[str, Any]:
    """The reply to /worker_generate: lists with one entry a sample, for one sample too."""
    lengths = [len(sample.token_ids) for sample in samples]
    head = request.prompt if request.echo else ""
    return {
        "text": [head + sample.text for sample in samples],
        "usage": usage(len(request.prompt_ids), sum(lengths), min(sample.reused for sample in samples)),
        "cumulative_logprob": [sample.logprob for sample in samples],
        "output_token_len": lengths,
        "finish_reason": [sample.finish_reason for sample in samples],
        "token_ids": [sample.token_ids for sample in samples],
        **({"logprobs_of": [list(sample.logprobs_of) for sample in samples]} if request.logprobs_of else {}),
    }
