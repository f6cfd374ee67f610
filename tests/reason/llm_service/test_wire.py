"""Requests and replies, whichever engine answers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reason.engine.request import EngineError, Generated
from reason.inference.base import Sampling
from reason.inference.fastchat import FastChatLM, WorkerPool
from reason.inference.ledger import Ledger
from reason.llm_service.workers.wire import echoed, held_back, read_request, reply
from reason.model_cards.card import LMCard
from tests.reason.engine.tiny import bounds

STOPS = st.lists(st.text("ab\n", min_size=1, max_size=3), min_size=1, max_size=3)


@given(text=st.text("ab\n", max_size=8), stop=STOPS)
def test_a_stream_keeps_back_exactly_what_may_become_a_stop_text(text: str, stop: list[str]) -> None:
    kept = held_back(text, stop)
    assert kept == max([k for s in stop for k in range(len(s) + 1) if text.endswith(s[:k])], default=0)


def test_defaults_and_folding(tokenizer) -> None:
    request = read_request({"prompt": "1 + 1\n", "seeds": [-1, 2**64 + 5]}, bounds(tokenizer, 1024, 300))
    assert request.seeds == [2**64 - 1, 5]
    assert (request.temperature, request.top_p, request.top_k, request.max_tokens) == (1.0, 1.0, -1, 256)
    assert request.prompt_ids == tokenizer.encode("1 + 1\n")
    assert read_request({"prompt": "1", "n": 3, "seed": 7}, bounds(tokenizer, 1024, 300)).seeds == [7, 8, 9]
    drawn = [tuple(read_request({"prompt": "1", "n": 2}, bounds(tokenizer, 1024, 300)).seeds) for _ in range(2)]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("continued", [True, False])
async def test_a_worker_reads_what_the_client_writes(tokenizer, continued: bool) -> None:
    sampling = Sampling(0.7, 0.9, 20, 30, ("ab",), continued)
    read = []

    class Pool:
        """Reads requests as a worker does, and answers as one."""

        model, services = "tiny", SimpleNamespace(stats=SimpleNamespace(generated_tokens=0))

        async def post(self, route: str, params: dict) -> dict:
            read.append(read_request(json.loads(json.dumps(params)), bounds(tokenizer, 1024, 300)))
            return reply(read[0], [Generated(" 2", [5, 6], -1.0, "stop")] * 2)

    lm = FastChatLM(LMCard("tiny"), {}, cast(WorkerPool, Pool()))
    samples = await lm.generate("1 + 1\n", sampling, [2, 2**64 - 1], Ledger())
    assert [(sample.text, sample.num_tokens) for sample in samples] == [(" 2", 2)] * 2
    (request,) = read
    assert (request.prompt_ids, request.seeds) == (tokenizer.encode("1 + 1\n"), [2, 2**64 - 1])
    taken = request.temperature, request.top_p, request.top_k, request.max_tokens, request.stop, request.continued
    assert Sampling(*taken) == sampling
    assert request.include_stop


def test_special_tokens_stop_by_their_id(tokenizer) -> None:
    request = read_request({"prompt": "1", "stop": ["<|im_end|>", "x"]}, bounds(tokenizer, 1024, 300))
    assert request.stop == ("x",)
    assert request.stop_token_ids == (tokenizer.convert_tokens_to_ids("<|im_end|>"),)


def test_the_context_bounds_a_sample(tokenizer) -> None:
    assert read_request({"prompt": "1" * 10, "max_new_tokens": 100}, bounds(tokenizer, 32, 300)).max_tokens == 22


@pytest.mark.parametrize(
    ("params", "type_", "says"),
    [
        ({}, "BadRequest", "prompt"),
        ({"prompt": ""}, "BadRequest", "empty"),
        ({"prompt_token_ids": [1, 300]}, "BadRequest", "prompt_token_ids"),
        ({"prompt": "1" * 64}, "ContextOverflow", "64 tokens"),
        ({"prompt": "1", "temperature": "hot"}, "OutOfRange", "temperature"),
        ({"prompt": "1", "temperature": float("nan")}, "OutOfRange", "temperature"),
        ({"prompt": "1", "top_p": 1.5}, "OutOfRange", "top_p"),
        ({"prompt": "1", "max_new_tokens": 0}, "OutOfRange", "max_new_tokens"),
        ({"prompt": "1", "n": 0}, "OutOfRange", "n:"),
        ({"prompt": "1", "n": 2, "seeds": [1]}, "BadRequest", "n = 2"),
        ({"prompt": "1", "seed": "x"}, "BadRequest", "seed"),
        ({"prompt": "1", "stop": [""]}, "BadRequest", "stop"),
        ({"prompt": "1", "stop": 5}, "BadRequest", "stop"),
        ({"prompt": "1", "stop_token_ids": ["x"]}, "BadRequest", "stop_token_ids"),
        ({"prompt": "1", "stop_token_ids": [-(2**31)]}, "BadRequest", "stop_token_ids"),
        ({"prompt": "1", "stop_token_ids": [2**63]}, "BadRequest", "stop_token_ids"),
        ({"prompt": "1", "top_k": 2**63}, "OutOfRange", "top_k"),
        ({"prompt": "1", "top_k": -2}, "OutOfRange", "top_k"),
        ({"prompt": "1", "temperature": 10**400}, "OutOfRange", "temperature"),
        ({"prompt": "1", "temperature": float("inf")}, "OutOfRange", "temperature"),
        ({"prompt": "1", "top_p": float("nan")}, "OutOfRange", "top_p"),
        ({"prompt": "1", "max_new_tokens": 2**63}, "OutOfRange", "max_new_tokens"),
        ({"prompt": "1", "max_new_tokens": float("inf")}, "OutOfRange", "max_new_tokens"),
        ({"prompt": "1", "n": 10**12}, "OutOfRange", "n:"),
        ({"prompt": "1", "seed": 1.5}, "BadRequest", "seed"),
        ({"prompt": "1 \ud83d"}, "BadRequest", "Unicode"),
    ],
)
def test_bad_requests_are_named_and_not_tried_again(tokenizer, params: dict, type_: str, says: str) -> None:
    with pytest.raises(EngineError, match=says) as error:
        read_request(params, bounds(tokenizer, 64, 300))
    assert error.value.type == type_
    assert not error.value.retryable


def test_replies_are_lists_for_one_sample_too(tokenizer) -> None:
    params = {"prompt": "1 + 1\n", "echo": True}
    request = read_request(params, bounds(tokenizer, 64, 300))
    assert reply(request, [Generated("2", [20, 256], -0.5, "stop", reused=3)], echoed(params)) == {
        "text": ["1 + 1\n2"],
        "usage": {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6, "reused_tokens": 3},
        "cumulative_logprob": [-0.5],
        "output_token_len": [2],
        "finish_reason": ["stop"],
        "token_ids": [[20, 256]],
    }
