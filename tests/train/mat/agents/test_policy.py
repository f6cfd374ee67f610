"""The policy: its probabilities are its sampler's, its reference stays, its files can be served."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reason.common.errors import UserError
from reason.common.seeds import draw_seed
from reason.inference.base import Sampling
from reason.inference.ledger import Ledger
from reason.model_cards import card as cards
from tests.train.mat.families import save_family
from tests.train.mat.toys import rollout
from train.mat.agents.policy import LoraOptions, Policy, load
from train.mat.buffers.batches import passes
from train.mat.buffers.rollout import Rollout
from train.mat.runner.engines import OwnLM

PROMPTS = ["1 + 2\n", "3 * 4 + 50 - 6\n", "7\n"]
LORA = LoraOptions(r=4, alpha=8)


def loaded(folder: Path, sampling: Sampling = Sampling(max_tokens=40), **options) -> Policy:  # noqa: B008
    return load(str(folder), None, sampling, "cpu", "fp32", **options)


def sampled(policy: Policy, each: int = 4) -> list[Rollout]:
    """Solutions by the engine, with what it says their log-probabilities are."""

    async def run() -> list:
        lm = OwnLM(policy, rows=16)
        await lm.push(policy.plain_weights())
        ids = [policy.tokenizer.encode(prompt) for prompt in PROMPTS]
        seeds = [[draw_seed(0, prompt, (), 0, i) for i in range(each)] for prompt in PROMPTS]
        try:
            found = await asyncio.gather(*(lm.generate(i, policy.sampling, s, Ledger()) for i, s in zip(ids, seeds)))
        finally:
            await lm.close()
        return list(zip(ids, found))

    many = []
    for ids, samples in asyncio.run(run()):
        for sample in samples:
            tokens = list(sample.token_ids)
            one = rollout(tokens, [len(tokens)], [0.0], sampled_logprob=sample.logprob)
            many.append(replace(one, prompt_ids=ids))
    return many


def moved(policy: Policy) -> None:
    """Weights that are not those it was loaded with."""
    torch.manual_seed(3)
    with torch.no_grad():
        for weight in policy.trainable():
            weight.add_(torch.randn_like(weight) * 0.05)


def gaps(policy: Policy, many: list[Rollout]) -> list[float]:
    found = []
    for one in passes(many, 256, policy.device):
        logprobs, _ = policy.logprobs(one)
        sums = [part.sum().item() for part in one.split(logprobs)]
        found += [abs(a - (r.sampled_logprob or 0.0)) for a, r in zip(sums, one.rollouts)]
    return found


@pytest.mark.parametrize("family", ["qwen2", "llama", "mistral"])
@pytest.mark.parametrize("sampling", [{}, {"temperature": 0.7, "top_p": 0.8, "top_k": 20}])
@pytest.mark.parametrize("lora", [None, LORA])
def test_before_an_update_the_ratio_to_the_sampler_is_one(
    family: str, sampling: dict, lora: LoraOptions | None, tmp_path: Path
) -> None:
    policy = loaded(save_family(tmp_path, family, layers=4), Sampling(max_tokens=40, **sampling), lora=lora)
    moved(policy)  # the sampler has the weights of now, an adapter's too
    many = sampled(policy)
    assert len({tuple(one.token_ids) for one in many}) > 6
    assert max(gaps(policy, many)) < 1e-3


def test_a_new_push_takes_the_new_weights(tmp_path: Path) -> None:
    policy = loaded(save_family(tmp_path, "qwen2"))
    before = sampled(policy)
    moved(policy)
    assert max(gaps(policy, before)) > 0.1
    assert max(gaps(policy, sampled(policy))) < 1e-3


@pytest.mark.parametrize("lora", [None, LORA])
def test_the_reference_stays(lora: LoraOptions | None, tmp_path: Path) -> None:
    policy = loaded(save_family(tmp_path, "qwen2"), lora=lora, reference=True)
    [one] = passes(sampled(policy), 4096, policy.device)
    before = policy.logprobs(one)[0].detach()
    moved(policy)
    assert not torch.allclose(policy.logprobs(one)[0], before, atol=1e-2)
    assert torch.allclose(policy.reference_logprobs(one), before, atol=1e-6)


@pytest.mark.parametrize("lora", [None, LORA])
def test_a_saved_policy_is_a_plain_model_with_its_card(lora: LoraOptions | None, tmp_path: Path) -> None:
    policy = loaded(save_family(tmp_path / "base", "llama"), lora=lora)
    moved(policy)
    [one] = passes(sampled(policy), 4096, policy.device)
    policy.save(tmp_path / "saved")
    again = loaded(tmp_path / "saved")
    assert not again.has_adapter and not (tmp_path / "saved/adapter_config.json").exists()
    assert torch.allclose(again.logprobs(one)[0], policy.logprobs(one)[0], atol=1e-4)
    assert cards.find(str(tmp_path / "saved"), "lm") == policy.card


def test_weights_go_through_a_checkpoint(tmp_path: Path) -> None:
    folder = save_family(tmp_path, "qwen2")
    policy, other = loaded(folder, lora=LORA), loaded(folder, lora=LORA)
    moved(policy)
    other.restore(policy.weights())
    assert all(torch.equal(a, b) for a, b in zip(policy.weights().values(), other.weights().values()))
    assert all(p.dtype == torch.float32 for p in policy.trainable())
    with pytest.raises(UserError, match="another model"):
        loaded(folder).restore(policy.weights())


def test_a_policy_over_a_base_of_4_bits_samples_and_is_saved_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = pytest.importorskip("bitsandbytes.nn.modules")
    monkeypatch.setattr(modules, "has_avx512bf16", lambda: False)  # which packs weights in a way of its own
    device = "cuda" if torch.cuda.is_available() else "cpu"
    folder, lora = save_family(tmp_path / "base", "qwen2"), LoraOptions(r=4, alpha=8, nf4=True)
    policy = load(str(folder), None, Sampling(max_tokens=40), device, "fp32", lora, reference=True)
    moved(policy)
    many = sampled(policy)
    assert max(gaps(policy, many)) < 1e-3
    [one] = passes(many, 4096, policy.device)
    logprobs = policy.logprobs(one)[0]
    assert not torch.allclose(logprobs, policy.reference_logprobs(one), atol=1e-2)
    logprobs.sum().backward()
    assert all(weight.grad is not None and weight.dtype == torch.float32 for weight in policy.trainable())
    policy.save(tmp_path / "saved")
    plain = load(str(tmp_path / "saved"), None, policy.sampling, device, "fp32")
    assert torch.allclose(plain.logprobs(one)[0], logprobs, atol=1e-3)
    pushed = dict(policy.plain_weights())
    assert all(torch.allclose(pushed.pop(name), p, atol=1e-4) for name, p in plain.causal.named_parameters())
    assert not pushed
    whole = load(str(folder), None, policy.sampling, device, "fp32", LORA)
    whole.restore(policy.weights())
    assert not torch.allclose(whole.logprobs(one)[0], logprobs, atol=1e-2)


def test_gradient_checkpointing_changes_no_gradient(tmp_path: Path) -> None:
    folder, found = save_family(tmp_path, "qwen2"), []
    for checkpointing in (False, True):
        policy = loaded(folder, gradient_checkpointing=checkpointing)
        many = [rollout([5, 6, 7, 8], [4], [0.0])]
        policy.logprobs(passes(many, 64, policy.device)[0])[0].sum().backward()
        found.append([p.grad for p in policy.trainable()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*found))


def test_a_policy_without_a_stop_token_is_refused(tmp_path: Path) -> None:
    folder = save_family(tmp_path, "qwen2")
    policy = loaded(folder)
    policy.tokenizer.eos_token = None
    policy.causal.generation_config.eos_token_id = None
    with pytest.raises(UserError, match="no stop token"):
        Policy(policy.model, policy.tokenizer, policy.card, policy.sampling)


def test_modules_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none of them; it has down_proj"):
        loaded(save_family(tmp_path, "qwen2"), lora=LoraOptions(modules=("c_attn",)))
