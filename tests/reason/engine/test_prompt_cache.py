"""The engine's cache of prompts: what is computed again, and that no sample depends on it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from transformers import AutoConfig

from reason.engine.prompt_cache import PromptCache
from reason.engine.request import Generated, GenerateRequest
from reason.engine.slots import Slots
from reason.engine.transformers_engine import Engine
from reason.llm_service.workers.wire import read_request, reply
from tests.reason.engine.tiny import bounds

MB = 1 << 20
TOKEN = 1024  # bytes of a token of the tiny policy


@pytest.fixture
def cached(engine: Engine, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine with few rows and a cache of `request.param` bytes."""
    other = Engine(engine.model, engine.tokenizer, engine.end_ids, 16, 2**28, getattr(request, "param", 8 * MB))
    yield other
    other.close()


def continued(engine: Engine, ids: list[int], **params: object) -> GenerateRequest:
    params = {"prompt_token_ids": ids, "max_new_tokens": 16, **params}
    return read_request(params, bounds(engine.tokenizer, 512, engine.vocabulary))


async def grow(engine: Engine, number: int, places: asyncio.Semaphore) -> list[list[Generated]]:
    """The samples of a random tree: each request goes on from the question or from an earlier sample."""
    rng = random.Random(number)
    prompts = [engine.tokenizer.encode(f"{number} + {number * number}" + " - 3" * (number % 5) + "\n")]
    grown = []
    for _ in range(5):
        prompt, seeds = rng.choice(prompts), [rng.getrandbits(60) for _ in range(rng.randint(1, 4))]
        sampling: dict[str, Any] = rng.choice([{"temperature": 0.7, "top_p": 0.9}, {"top_k": 20}, {}])
        async with places:
            samples = await engine.generate(continued(engine, prompt, seeds=seeds, stop=["7"], **sampling))
        grown.append(samples)
        prompts += [prompt + sample.token_ids for sample in samples if sample.token_ids[-1] not in engine.end_ids]
    return grown


async def forest(engine: Engine, concurrency: int) -> list[list[list[Generated]]]:
    places = asyncio.Semaphore(concurrency)
    return await asyncio.gather(*(grow(engine, number, places) for number in range(8)))


@pytest.mark.parametrize("cached", [8 * MB, 100 * TOKEN, 4 * TOKEN], indirect=True)
@pytest.mark.parametrize("concurrency", [1, 16])
async def test_samples_do_not_depend_on_the_cache(engine: Engine, cached: Engine, concurrency: int) -> None:
    """Large, so small that it evicts all the time, too small for any prompt: the same, log-probabilities to the bit."""
    assert await forest(cached, concurrency) == await forest(engine, 16)
    assert cached.cache.slab.shape[0] == cached.cache.trie.capacity


async def test_prompts_that_arrive_together_share_their_beginning(engine: Engine, cached: Engine) -> None:
    """As a judge asks of all steps of a solution at once: the longest is computed, the others take over from it."""
    whole = cached.tokenizer.encode("12 + 5 * 3\n" + "5 * 3 = 15; 12 + 15\n" * 12)
    requests = [continued(cached, whole[:end] + whole[:1], seed=end) for end in range(60, len(whole), 25)]
    samples = await asyncio.gather(*map(cached.generate, requests))
    assert samples == await asyncio.gather(*map(engine.generate, requests))
    fresh = [len(r.prompt_ids) - 1 - one.reused for r, (one,) in zip(requests, samples)]
    assert sum(fresh) < len(whole) + 16 * len(requests)


async def test_a_child_computes_its_parents_last_token_alone(cached: Engine) -> None:
    ids = cached.tokenizer.encode("12 + 5 * 3\n")
    (parent,) = await cached.generate(continued(cached, ids, seed=3))
    assert parent.reused == 0
    longer = ids + parent.token_ids
    children = await cached.generate(continued(cached, longer, seeds=[1, 2, 3]))
    usage = reply(continued(cached, longer, seeds=[1, 2, 3]), children)["usage"]
    assert (usage["prompt_tokens"], usage["reused_tokens"]) == (len(longer), len(longer) - 1)
    (other,) = await cached.generate(continued(cached, ids[:4] + ids, seed=3))
    assert other.reused == 4
    stream = [sample async for sample in cached.stream(continued(cached, longer, seed=1))]
    assert stream[-1] == children[0]
    assert stream[-1].reused == len(longer) - 1


async def test_a_sample_that_nothing_continues_is_not_kept(cached: Engine) -> None:
    """Its prompt is: others may ask for more samples of it."""
    ids = cached.tokenizer.encode("12 + 5 * 3\n")
    (kept,) = await cached.generate(continued(cached, ids, seed=3, continued=False))
    (longer,) = await cached.generate(continued(cached, ids + kept.token_ids, seed=1, max_new_tokens=1))
    assert longer.reused == len(ids) - 1
    assert (kept,) == tuple(await cached.generate(continued(cached, ids, seed=3)))


async def test_after_a_failure_nothing_is_known(cached: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was being stored may be half written."""
    request = continued(cached, cached.tokenizer.encode("6 + 1\n"), seed=3)
    good = await cached.generate(request)
    with monkeypatch.context() as patch:
        patch.setattr(cached, "_step", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await cached.generate(request)
    again = await cached.generate(request)
    assert again == good
    assert again[0].reused == 0


@pytest.mark.parametrize("cached", [0], indirect=True)
async def test_without_memory_nothing_is_kept(cached: Engine) -> None:
    request = continued(cached, cached.tokenizer.encode("1 + 1\n"), seed=3)
    assert [(await cached.generate(request))[0].reused for _ in range(2)] == [0, 0]


async def test_more_samples_than_rows_count_their_prompt_once(cached: Engine) -> None:
    """The second portion finds what the first one left; what the request reused is what the first one did."""
    request = continued(cached, cached.tokenizer.encode("8 + 1\n"), seeds=list(range(40)))
    assert {sample.reused for sample in await cached.generate(request)} == {0}


async def test_steps_as_text_are_the_tokens_that_were_generated(cached: Engine) -> None:
    """A client that sends texts finds its prefixes too: texts that end with a step are encoded as they came."""
    question = "31 + 4 * 2\n"
    steps = "31 + 8; 4 * 2 = 8\n", "31 + 8 = 39"
    ids = [cached.tokenizer.encode(text) for text in (question, *steps)]
    assert cached.tokenizer.encode(question + "".join(steps)) == [token for piece in ids for token in piece]


def test_what_is_loaded_is_what_was_stored(policy) -> None:
    """Random sequences over three tokens in a small memory: keys and values of each prefix that is found."""
    config = AutoConfig.from_pretrained(policy)
    slots = Slots(config, torch.float32, torch.device("cpu"))
    slots.reserve(3, 32)
    cache = PromptCache(slots, 40 * slots.bytes_per_token)
    rng = random.Random(0)
    found = 0

    def states(tokens: list[int]) -> torch.Tensor:
        """A number for each prefix, as keys [layers, kv heads, length, dim]."""
        numbers = [float(hash(tuple(tokens[: i + 1])) % 9973) for i in range(len(tokens))]
        return torch.tensor(numbers)[None, None, :, None].expand(slots.layers_count, slots.kv_heads, -1, slots.dim)

    for _ in range(400):
        tokens = [rng.randrange(3) for _ in range(rng.randint(1, 12))]
        slots.keys.zero_(), slots.values.zero_()
        known = cache.load(tokens, slice(1, 3))
        found += known
        for row in (1, 2):
            assert torch.equal(slots.keys[:, row, :, :known], states(tokens)[:, :, :known])
            assert torch.equal(slots.values[:, row, :, :known], -states(tokens)[:, :, :known])
        slots.keys[:, 0, :, : len(tokens)], slots.values[:, 0, :, : len(tokens)] = states(tokens), -states(tokens)
        cache.store(tokens, 0)
        assert cache.load(tokens, slice(1, 2)) == len(tokens)
    assert found > 400
