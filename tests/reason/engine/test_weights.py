"""New weights for the model of a running transformers engine."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from reason.engine.request import EngineError
from reason.engine.slots import ATTENTION
from reason.engine.transformers_engine import Engine
from reason.engine.weights import load_weights, read_weights
from reason.llm_service.workers.wire import read_request
from tests.reason.engine.tiny import bounds


def model_of(folder: Path, dtype: torch.dtype = torch.float32):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=ATTENTION).eval()


@pytest.fixture
def other(policy: Path, tmp_path: Path) -> Path:
    """A folder with other weights for the policy; the head, which is tied to the embedding, is left out."""
    torch.manual_seed(5)
    weights = {n: w.detach() + torch.randn_like(w) * 0.05 for n, w in model_of(policy).named_parameters()}
    assert "lm_head.weight" not in weights
    save_file(weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_bytes((policy / "config.json").read_bytes())
    return tmp_path


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
async def test_an_engine_with_new_weights_is_one_that_began_with_them(
    policy: Path, other: Path, tokenizer, dtype: torch.dtype
) -> None:
    """What was cached by the old ones is not used, and samples under way end by the old ones."""
    ends = {tokenizer.eos_token_id}
    models = [model_of(folder, dtype) for folder in (policy, other)]
    engine, wanted = (Engine(model, tokenizer, ends, 64, 2**28, cache_bytes=2**24) for model in models)
    params = {"prompt": "12 + 30 * 4\n", "seeds": list(range(8)), "max_new_tokens": 40}
    request = read_request(params, bounds(tokenizer, 512, 288))
    try:
        old = await engine.generate(request)
        assert (await engine.generate(request))[0].reused > 0
        under_way = asyncio.ensure_future(engine.generate(request))
        await asyncio.sleep(0.01)
        weights = read_weights(other)
        change = asyncio.ensure_future(engine.change(lambda: load_weights(engine.model, weights)))
        await asyncio.sleep(0)
        behind = asyncio.ensure_future(engine.generate(request))
        assert await under_way == old
        await change
        assert await behind == await wanted.generate(request) != old
        assert (await behind)[0].reused == 0
    finally:
        engine.close()
        wanted.close()


async def test_weights_that_do_not_fit_change_nothing(policy: Path, other: Path, tokenizer) -> None:
    engine = Engine(model_of(policy), tokenizer, {tokenizer.eos_token_id}, 16, 2**28)
    request = read_request({"prompt": "1\n", "seeds": [1], "max_new_tokens": 20}, bounds(tokenizer, 512, 288))
    weights = read_weights(other)
    name = "model.layers.1.mlp.up_proj.weight"
    less = {k: w for k, w in weights.items() if k != name}
    bad = [less, weights | {name: weights[name][1:]}, weights | {"x": weights[name]}]
    try:
        before = await engine.generate(request)
        for given in bad:
            with pytest.raises(EngineError, match="of another model: 1 differ in name or shape, such as"):
                await engine.change(partial(load_weights, engine.model, given))
        assert await engine.generate(request) == before
    finally:
        engine.close()
