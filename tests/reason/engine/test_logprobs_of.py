"""`logprobs_of`: the log-probabilities of given tokens as the first one generated."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from reason.engine.request import EngineError, GenerateRequest
from reason.engine.transformers_engine import Engine
from reason.llm_service.workers.wire import only_one, read_request, reply
from tests.reason.engine.tiny import bounds

PROMPTS = [f"{i} + {i * i}\n{i} + {i * i} = {i + i * i}\n<|check|>" for i in range(1, 17)]
VERDICTS = ["Yes", "No"]


def requested(engine: Engine, **params: Any) -> GenerateRequest:
    return read_request(params, bounds(engine.tokenizer, 512, engine.vocabulary))


async def test_they_are_the_models_own(engine: Engine, policy) -> None:
    """Against transformers' forward pass; in a batch with other requests, and alone; ids and texts alike."""
    plain = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32).eval()
    asking = [requested(engine, prompt=p, max_new_tokens=1, logprobs_of=VERDICTS) for p in PROMPTS]
    others = [requested(engine, prompt=p, seeds=[1, 2], max_new_tokens=9, temperature=0.5) for p in PROMPTS]
    together = (await asyncio.gather(*map(engine.generate, asking + others)))[: len(asking)]
    for request, (sample,) in zip(asking, together, strict=True):
        with torch.inference_mode():
            logprobs = plain(torch.tensor([request.prompt_ids])).logits[0, -1].log_softmax(-1)
        expected = [logprobs[engine.tokenizer.convert_tokens_to_ids(token)].item() for token in VERDICTS]
        assert sample.logprobs_of == pytest.approx(expected, abs=1e-4)
        (alone,) = await engine.generate(request)
        assert alone.logprobs_of == sample.logprobs_of
    by_id = requested(engine, prompt=PROMPTS[0], logprobs_of=engine.tokenizer.convert_tokens_to_ids(VERDICTS))
    assert by_id.logprobs_of == asking[0].logprobs_of


async def test_each_sample_tells_those_of_its_first_token(engine: Engine) -> None:
    request = requested(engine, prompt=PROMPTS[0], seeds=[1, 2, 3], max_new_tokens=5, logprobs_of=[*VERDICTS, "7"])
    answer = reply(request, await engine.generate(request))
    assert len(answer["logprobs_of"]) == 3
    assert answer["logprobs_of"][0] == answer["logprobs_of"][1] == answer["logprobs_of"][2]
    assert len(answer["logprobs_of"][0]) == 3
    plain = requested(engine, prompt=PROMPTS[0], max_new_tokens=1)
    assert "logprobs_of" not in reply(plain, await engine.generate(plain))


@pytest.mark.parametrize(
    "params",
    [
        {"logprobs_of": ["Yes No"]},
        {"logprobs_of": [""]},
        {"logprobs_of": [10**9]},
        {"logprobs_of": [True]},
        {"logprobs_of": "Yes"},
        {"logprobs_of": ["Yes"] * 21},
        {"logprobs_of": ["Yes"], "temperature": 0},
        {"logprobs_of": ["Yes"], "top_k": 5},
    ],
)
def test_bad_requests_are_named(engine: Engine, params: dict[str, Any]) -> None:
    with pytest.raises(EngineError, match="logprobs_of"):
        requested(engine, prompt="1\n", **params)


def test_a_stream_has_none(engine: Engine) -> None:
    with pytest.raises(EngineError, match="logprobs_of"):
        only_one(requested(engine, prompt="1\n", logprobs_of=VERDICTS))
