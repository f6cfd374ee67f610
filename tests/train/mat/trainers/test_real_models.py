"""Updates of real models: the same however they are cut into passes, and they learn."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reason.inference.base import Sampling
from tests.train.mat.families import save_family
from tests.train.mat.toys import learners, rollout
from train.mat.agents.policy import LoraOptions, load
from train.mat.buffers.rollout import Rollout
from train.mat.models.critic import Critic
from train.mat.trainers import ALGORITHMS
from train.mat.trainers.trainer import Trainer

SHAPES = [
    ([3], 4),
    ([2, 9], 2),
    ([1, 2, 5], 7),
    ([12], 1),
    ([4, 8], 4),
    ([2], 9),
]  # step ends, tokens of the prompt


def solutions() -> list[Rollout]:
    """Random tokens; three groups of two."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for i, (ends, prompt) in enumerate(SHAPES):
        tokens = torch.randint(0, 250, (ends[-1] + prompt,), generator=generator).tolist()
        rewards = torch.randn(len(ends), generator=generator).tolist()
        found.append(replace(rollout(tokens[prompt:], ends, rewards, group=i // 2), prompt_ids=tokens[:prompt]))
    return found


@pytest.mark.parametrize("family", ["qwen2", "llama", "mistral"])
@pytest.mark.parametrize(("algorithm", "lora"), [("GRPO", 0), ("GRPO", 4), ("APPO", 0), ("TPPO", 4)])
def test_a_step_of_four_layers_is_the_same_in_one_pass_and_in_many(
    family: str, algorithm: str, lora: int, tmp_path: Path
) -> None:
    folder, found = save_family(tmp_path, family, layers=4), []
    for budget in (1, 30, 4096):
        torch.manual_seed(0)
        adapter = LoraOptions(lora, lora) if lora else None
        policy = load(str(folder), None, Sampling(temperature=0.9), "cpu", "fp32", adapter, reference=True)
        chosen = ALGORITHMS[algorithm](kl_coef=0.1, entropy_coef=0.01)
        critic = Critic(policy.causal.base_model, 32, "shared" if lora else "own") if chosen.needs_critic else None
        descent = learners(policy, critic, 0.1, 0.1)
        metrics = Trainer(policy, critic, chosen, descent, budget).learn(solutions(), 1)
        assert metrics["grad_norm"] > 0
        weights = [*policy.weights().values(), *(p.detach() for p in (critic.trainable() if critic else []))]
        found.append((weights, metrics))
    for weights, metrics in found[1:]:
        assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(weights, found[0][0], strict=True))
        assert metrics["loss"] == pytest.approx(found[0][1]["loss"], abs=1e-5)
        assert metrics["grad_norm"] == pytest.approx(found[0][1]["grad_norm"], rel=1e-3)
