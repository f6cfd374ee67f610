"""/worker_generate in and out, the same for every engine: the request's fields, the reply, the chunks of a stream."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from reason.engine.request import EngineError, Generated, GenerateRequest, LMEngine, new_request, token_ids_of
from reason.inference.base import HOTTEST, MOST_SAMPLES, MOST_TOKENS
from reason.llm_service.workers.base_worker import Params

SEED_BITS = 64
MAX_LOGPROBS = 20  # tokens of `logprobs_of`; vLLM tells no more


def read_request(params: Params, engine: LMEngine) -> GenerateRequest:
    """Check the fields of a request, with OpenR's defaults. Raises EngineError that names the field."""
    text, ids = params.get("prompt"), params.get("prompt_token_ids")
    prompt: str | list[int] | None = text if ids is None else ids
    if prompt is None or not isinstance(prompt, str if ids is None else list):
        raise EngineError("BadRequest", "a `prompt` (text) or `prompt_token_ids` (list of integers) is needed")
    temperature = _number(params, "temperature", 1.0, 0.0, HOTTEST)
    top_p, top_k = _number(params, "top_p", 1.0, 0.0, 1.0), int(_number(params, "top_k", -1, -1, MOST_TOKENS)) or -1
    logprobs_of = params.get("logprobs_of") or []
    if not isinstance(logprobs_of, list) or len(logprobs_of) > MAX_LOGPROBS:
        raise EngineError("BadRequest", f"logprobs_of: a list of at most {MAX_LOGPROBS} tokens is needed")
    if logprobs_of and (temperature, top_p, top_k) != (1.0, 1.0, -1):
        message = "logprobs_of is of the model's own distribution: it needs temperature 1, top_p 1, top_k -1"
        raise EngineError("BadRequest", message)
    stop = params.get("stop") or ()
    stop = [stop] if isinstance(stop, str) else stop
    if not isinstance(stop, (list, tuple)) or not all(isinstance(s, str) and s for s in stop):
        raise EngineError("BadRequest", "stop: a text or a list of texts, none empty, is needed")
    stop_token_ids = params.get("stop_token_ids") or []
    if not (isinstance(stop_token_ids, list) and all(type(i) is int and abs(i) <= MOST_TOKENS for i in stop_token_ids)):
        raise EngineError("BadRequest", "stop_token_ids: a list of 32-bit integers is needed")
    return new_request(
        engine,
        prompt,
        _seeds(params),
        temperature,
        top_p,
        top_k,
        int(_number(params, "max_new_tokens", 256, 1, MOST_TOKENS)),
        stop,
        stop_token_ids,
        include_stop=bool(params.get("include_stop_str_in_output", False)),
        logprobs_of=token_ids_of(engine, logprobs_of),
        ignore_eos=bool(params.get("ignore_eos", False)),
        continued=bool(params.get("continued", True)),
    )


def echoed(params: Params) -> str:
    """What stands before each text of the reply: the prompt, where it is a text and `echo` asks for it."""
    return params["prompt"] if params.get("echo") and isinstance(params.get("prompt"), str) else ""


def _number(params: Params, name: str, default: float, low: float, high: float) -> float:
    value = params.get(name)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise EngineError("OutOfRange", f"{name}: a number in [{low:g}, {high:g}] is needed, not {value!r}")
    return value


def _seeds(params: Params) -> list[int]:
    """One seed a sample: `seeds`, or `seed`, seed + 1, ..., or drawn here."""
    seeds, n = params.get("seeds"), params.get("n")
    n = (len(seeds) if isinstance(seeds, list) else 1) if n is None else n
    if type(n) is not int or not 1 <= n <= MOST_SAMPLES:
        raise EngineError("OutOfRange", f"n: an integer from 1 to {MOST_SAMPLES} is needed, not {n!r}")
    if seeds is None:
        seed = params.get("seed")
        first = secrets.randbits(SEED_BITS) if seed is None else seed
        seeds = [first + i for i in range(n)] if type(first) is int else []
    if not isinstance(seeds, list) or len(seeds) != n or not all(type(s) is int for s in seeds):
        raise EngineError("BadRequest", f"seed is an integer, seeds a list of n = {n} integers")
    return [s % 2**SEED_BITS for s in seeds]


def only_one(request: GenerateRequest) -> None:
    """Raises EngineError unless the request is for a single sample and no more, as a stream's must be."""
    if len(request.seeds) != 1:
        raise EngineError("BadRequest", "a stream has one sample: n must be 1")
    if request.logprobs_of:
        raise EngineError("BadRequest", "a stream does not tell logprobs_of: use /worker_generate")


def held_back(text: str, stop: Sequence[str]) -> int:
    """How many last characters may be the beginning of a stop text; a stream keeps them until it knows."""
    lengths = range(max(map(len, stop), default=0), 0, -1)
    return next((k for k in lengths if k <= len(text) and any(s.startswith(text[-k:]) for s in stop)), 0)


def stream_chunk(
    request: GenerateRequest, text: str, tokens: int, done: Generated | None, head: str = ""
) -> dict[str, Any]:
    """FastChat's chunk: the whole text so far behind `head`; `done` in the last one.

    What may become a stop text, or is half a character, is kept back until it is known.
    """
    if done is None:
        text = text[: len(text) - held_back(text, request.stop)].rstrip("\ufffd")
    return {
        "text": head + text,
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


def reply(request: GenerateRequest, samples: Sequence[Generated], head: str = "") -> dict[str, Any]:
    """The reply to /worker_generate: lists with one entry a sample, for one sample too; `head` before each text."""
    lengths = [len(sample.token_ids) for sample in samples]
    return {
        "text": [head + sample.text for sample in samples],
        "usage": usage(len(request.prompt_ids), sum(lengths), min(sample.reused for sample in samples)),
        "cumulative_logprob": [sample.logprob for sample in samples],
        "output_token_len": lengths,
        "finish_reason": [sample.finish_reason for sample in samples],
        "token_ids": [sample.token_ids for sample in samples],
        **({"logprobs_of": [list(sample.logprobs_of) for sample in samples]} if request.logprobs_of else {}),
    }
