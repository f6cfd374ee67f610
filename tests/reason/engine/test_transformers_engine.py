"""The transformers engine: what a sample may depend on, how it ends, what it costs others."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from reason.engine.request import EngineError, GenerateRequest, decode_continuation
from reason.engine.sampling import draw, lowest_kept, uniforms
from reason.engine.transformers_engine import ApartEngine, Engine
from reason.llm_service.workers.wire import read_request
from tests.reason.engine.tiny import bounds

PROMPTS = [f"{i} + {i * i} * {7 * i}" + " - 3" * (i % 5) + "\n" for i in range(1, 33)]
SAMPLING: list[dict[str, Any]] = [{"temperature": 0}, {"temperature": 0.7, "top_p": 0.9}, {"top_k": 20}, {}]


def requested(engine: Engine, **params: Any) -> GenerateRequest:
    return read_request(params, bounds(engine.tokenizer, 512, engine.vocabulary))


def range_of(first: int) -> list[int]:
    """Four seeds."""
    return list(range(first, first + 4))


def mixed(engine: Engine) -> list[GenerateRequest]:
    """128 samples of 32 prompts, with every kind of sampling."""
    return [
        requested(engine, prompt=prompt, seeds=range_of(4 * i), max_new_tokens=40, **SAMPLING[i % 4])
        for i, prompt in enumerate(PROMPTS)
    ]


async def test_a_sample_does_not_depend_on_its_batch(engine: Engine) -> None:
    """Alone, among 128, and as one of four of a request: the same tokens, and the same log-probability to the bit."""
    requests = mixed(engine)
    together = await asyncio.gather(*map(engine.generate, requests))
    for request, samples in list(zip(requests, together))[:8]:
        assert await engine.generate(request) == samples
        alone = [dataclasses.replace(request, seeds=[seed]) for seed in request.seeds]
        assert [(await engine.generate(one))[0] for one in alone] == samples
    assert len({sample.text for samples in together for sample in samples}) > 90


async def test_more_samples_than_rows_are_the_same_samples(engine: Engine) -> None:
    request = requested(engine, prompt="1 + 2\n", seeds=list(range(300)), max_new_tokens=12)
    few = Engine(engine.model, engine.tokenizer, engine.end_ids, max_samples=16, kv_bytes=2**20)
    try:
        assert await few.generate(request) == await engine.generate(request)
    finally:
        few.close()


async def test_samples_that_share_rows_are_the_same_samples_and_cost_fewer_rows(engine: Engine, monkeypatch) -> None:
    """Requests of many samples, of which some part at once, some late and some never."""
    rows: dict[bool, int] = {}
    found: dict[bool, list] = {}
    for share in (True, False):
        kind = Engine if share else ApartEngine
        other = kind(engine.model, engine.tokenizer, engine.end_ids, 128, 2**30)
        forward = other._forward
        passed: list[int] = []
        monkeypatch.setattr(other, "_forward", lambda *a, f=forward, p=passed: (p.append(len(a[1])), f(*a))[1])
        requests = [
            requested(other, prompt=prompt, seeds=list(range(16)), max_new_tokens=30, stop=["7"], temperature=t)
            for prompt, t in zip(PROMPTS, (0, 0.05, 0.3, 1, 1.5) * 4)
        ]
        try:
            found[share] = await asyncio.gather(*map(other.generate, requests))
        finally:
            other.close()
        rows[share] = sum(passed)
        assert other.rows.active == 0
    assert found[True] == found[False]
    assert rows[True] < 0.7 * rows[False]


async def test_requests_of_one_prompt_share_rows_too(engine: Engine, monkeypatch) -> None:
    """Eight that arrive together and are sampled alike, and one that is not: two rows at first, the same samples."""
    other = Engine(engine.model, engine.tokenizer, engine.end_ids, 128, 2**30)
    opened: list[int] = []
    start = other._start

    def started(picked: Any) -> Any:
        opened.append(len(picked))
        return start(picked)

    monkeypatch.setattr(other, "_start", started)
    common = {"prompt": PROMPTS[3], "max_new_tokens": 12}
    requests = [requested(other, seeds=range_of(4 * i), **common) for i in range(8)]
    requests.append(requested(other, seeds=range_of(0), temperature=0.5, **common))
    try:
        with other.wake:  # none is admitted before all are there
            tasks = [asyncio.ensure_future(other.generate(request)) for request in requests]
            await asyncio.sleep(0)
        together = await asyncio.gather(*tasks)
    finally:
        other.close()
    for request, samples in zip(requests, together):
        assert [dataclasses.replace(sample, reused=0) for sample in samples] == await engine.generate(request)
    assert sorted(opened) == [1, 8]
    prompt = len(requests[0].prompt_ids) - 1
    assert sorted(samples[0].reused for samples in together) == [0] * 2 + [prompt] * 7, "the others' is computed once"


async def test_tokens_and_logprobs_are_the_models(engine: Engine, policy) -> None:
    """Greedy is transformers' greedy; log-probabilities are those of the distribution sampled from."""
    plain = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32).eval()
    ids = engine.tokenizer.encode("12 + 5 * 3\n")
    for params in ({"temperature": 0}, {"temperature": 0.8, "top_p": 0.9, "top_k": 30}):
        request = requested(engine, prompt_token_ids=ids, max_new_tokens=30, seed=5, **params)
        (sample,) = await engine.generate(request)
        with torch.inference_mode():
            logits = plain(torch.tensor([ids + sample.token_ids])).logits[0, len(ids) - 1 : -1].float()
        if request.temperature == 0:
            assert logits.argmax(-1).tolist() == sample.token_ids
        else:
            count = len(logits)
            logits = logits / 0.8
            lowest = lowest_kept(logits, torch.full((count,), 0.9), torch.full((count,), 30))
            logits = logits.masked_fill(logits < lowest[:, None], -torch.inf)
        chosen = logits.log_softmax(-1).gather(1, torch.tensor(sample.token_ids)[:, None])
        assert sample.logprob == pytest.approx(chosen.sum().item(), abs=1e-3)


async def test_stop_texts_cut_at_their_first_occurrence(engine: Engine) -> None:
    """With a stop text taken from the middle of a sample the sample is the same up to it."""
    requests = [requested(engine, prompt=prompt, seed=9, max_new_tokens=60) for prompt in PROMPTS[:8]]
    wholes = [samples[0] for samples in await asyncio.gather(*map(engine.generate, requests))]
    tried = 0
    for request, whole in zip(requests, wholes):
        for length in (1, 2, 3):
            middle = len(whole.text) // 2
            stop = whole.text[middle : middle + length]
            if "\ufffd" in stop or len(stop) < length:
                continue
            tried += 1
            first = whole.text.index(stop)
            for include in (True, False):
                params: dict[str, Any] = {"stop": [stop, "never there"], "include_stop_str_in_output": include}
                params |= {"prompt_token_ids": request.prompt_ids, "seed": 9, "max_new_tokens": 60}
                (cut,) = await engine.generate(requested(engine, **params))
                assert cut.text == whole.text[: first + length * include]
                assert cut.finish_reason == "stop"
                assert cut.token_ids == whole.token_ids[: len(cut.token_ids)]
                shorter = decode_continuation(engine.tokenizer, request.prompt_ids, cut.token_ids[:-1])
                assert stop not in shorter
    assert tried > 8


async def test_how_samples_end(engine: Engine) -> None:
    """At the limit, at an end token, at a token of the request; the end token counts and is no text."""
    (whole,) = await engine.generate(requested(engine, prompt="3 * 3\n", seed=2, max_new_tokens=20))
    assert (whole.finish_reason, len(whole.token_ids)) == ("length", 20)
    last = whole.token_ids[7]
    position = whole.token_ids.index(last)
    request = requested(engine, prompt="3 * 3\n", seed=2, max_new_tokens=20, stop_token_ids=[last])
    (ended,) = await engine.generate(request)
    assert ended.finish_reason == "stop"
    assert ended.token_ids == whole.token_ids[: position + 1]
    assert ended.text == decode_continuation(engine.tokenizer, request.prompt_ids, whole.token_ids[:position])
    samples = await engine.generate(requested(engine, prompt="7\n", seeds=list(range(128)), max_new_tokens=400))
    ends = [sample for sample in samples if sample.finish_reason == "stop"]
    assert ends
    for sample in ends:
        assert sample.token_ids.index(engine.tokenizer.eos_token_id) == len(sample.token_ids) - 1
        assert "<|" not in sample.text


async def test_a_stream_ends_as_the_whole_sample(engine: Engine) -> None:
    request = requested(engine, prompt="4 + 4\n", seed=3, max_new_tokens=15, stop=["7"])
    chunks = [sample async for sample in engine.stream(request)]
    assert chunks[-1] == (await engine.generate(request))[0]
    assert [len(chunk.token_ids) for chunk in chunks[:-1]] == sorted({len(c.token_ids) for c in chunks[:-1]})


async def test_a_cancelled_request_frees_its_rows(engine: Engine) -> None:
    long = requested(engine, prompt="1\n", seeds=list(range(128)), max_new_tokens=500, stop_token_ids=[])
    task = asyncio.ensure_future(engine.generate(long))
    await asyncio.sleep(0.2)
    task.cancel()
    (sample,) = await engine.generate(requested(engine, prompt="2\n", seed=1, max_new_tokens=3))
    assert len(sample.token_ids) <= 3
    for _ in range(100):
        if engine.samples.active == 0:
            break
        await asyncio.sleep(0.05)
    assert engine.samples.active == 0


async def test_a_model_that_computes_nan_is_an_error_and_nothing_more(engine: Engine) -> None:
    request = requested(engine, prompt="5 - 2\n", seed=1, max_new_tokens=5)
    good = await engine.generate(request)
    weight: Any = engine.model.get_input_embeddings().weight
    token = request.prompt_ids[-1]
    with torch.no_grad():
        saved = weight[token].clone()
        weight[token] = torch.nan
    with pytest.raises(EngineError, match="not finite"):
        await engine.generate(request)
    with torch.no_grad():
        weight[token] = saved
    assert await engine.generate(request) == good


async def test_a_forward_pass_that_fails_fails_its_requests_alone(engine: Engine, monkeypatch) -> None:
    request = requested(engine, prompt="5 - 2\n", seed=1, max_new_tokens=5)
    good = await engine.generate(request)
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_step", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await engine.generate(request)
    assert await engine.generate(request) == good


async def test_requests_that_arrive_with_one_that_cannot_start_are_answered(engine: Engine, monkeypatch) -> None:
    """Nine that are admitted together, the fifth of which fails as it starts: none waits for ever, no row is left."""
    start = engine._start

    def failing(picked):
        if picked[0][0].request.top_k == 7:
            raise OverflowError("too large")
        return start(picked)

    prompts = [{"prompt": prompt, "seed": 1, "max_new_tokens": 5} for prompt in PROMPTS[:9]]
    prompts[4]["top_k"] = 7
    requests = [requested(engine, **params) for params in prompts]
    with monkeypatch.context() as patch:
        patch.setattr(engine, "_start", failing)
        with engine.wake:  # none is admitted before all are there
            tasks = [asyncio.ensure_future(engine.generate(request)) for request in requests]
            await asyncio.sleep(0)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, OverflowError) for answer in answers)
    assert engine.samples.active == engine.rows.active == 0
    samples = await asyncio.gather(*map(engine.generate, requests))
    assert all(0 < len(sample.token_ids) <= 5 for (sample,) in samples)


def test_draws_follow_the_distribution() -> None:
    """Frequencies of 40,000 seeds against the probabilities, within five standard errors."""
    logits = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -4.0])
    n = 40000
    u = torch.from_numpy(uniforms(np.arange(n, dtype=np.uint64), np.full(n, 3, np.uint64)))
    for temperature, top_p, top_k in ((1.0, 1.0, -1), (0.5, 1.0, -1), (1.0, 0.8, -1), (1.0, 1.0, 2), (2.0, 0.9, 4)):
        arguments = torch.full((2,), temperature), torch.full((2,), top_p), torch.full((2,), top_k)
        # two rows that the samples share; the first is of another distribution, and nobody's
        tokens, logprobs = draw(torch.stack([-logits, logits]), *arguments, u, torch.ones(n, dtype=torch.long))
        p = (logits / temperature).softmax(0).double()
        kept = sorted(range(6), key=lambda i: -p[i])[: top_k if top_k > 0 else 6]
        mass, nucleus = 0.0, []
        for i in kept:
            if mass / p[kept].sum() < top_p:
                nucleus.append(i)
                mass += p[i].item()
        p = torch.stack([p[i] if i in nucleus else p[i] * 0 for i in range(6)])
        p = p / p.sum()
        counts = Counter(tokens.tolist())
        for i in range(6):
            assert abs(counts[i] / n - p[i]) <= 5 * (p[i] * (1 - p[i]) / n) ** 0.5 + 1e-12
        assert torch.allclose(logprobs.double().exp(), p[tokens], atol=1e-6)


def test_uniforms_differ_by_seed_and_by_index() -> None:
    seeds = np.repeat(np.array([0, 1, 2**63, 2**64 - 1], np.uint64), 4)
    values = uniforms(seeds, np.tile(np.arange(4, dtype=np.uint64), 4))
    assert len(set(values.tolist())) == 16
    assert ((values >= 0) & (values < 1)).all()
