"""What one update does: by hand, by gradient, however it is cut into passes, and that it solves what it should."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from reason.common.errors import RunError
from tests.train.mat.toys import QUESTION, RIGHT, WRONG, TableCritic, TablePolicy, rollout, trainer
from train.mat.buffers.batches import RolloutPass
from train.mat.buffers.rollout import Rollout
from train.mat.trainers.appo import APPO
from train.mat.trainers.grpo import GRPO
from train.mat.trainers.rloo import RLOO
from train.mat.trainers.tppo import TPPO


def mixed() -> list[Rollout]:
    """Solutions of three questions, of one to four steps of one to three tokens."""
    shapes = [[2], [1, 3], [2, 3, 6], [1, 2, 3, 4], [3, 4], [2]]
    generator = torch.Generator().manual_seed(0)
    found = []
    for i, ends in enumerate(shapes):
        tokens = torch.randint(1, 3, (ends[-1],), generator=generator).tolist()
        rewards = torch.randn(len(ends), generator=generator).tolist()
        found.append(rollout(tokens, ends, rewards, group=i // 2, terminated=i != 4))
    return found


def test_an_update_of_grpo_by_hand() -> None:
    """Two solutions of one token, rewards 1 and 0: A = +-.5 / std with std = sqrt(.5); gradient ascent on the mean."""
    policy = TablePolicy()
    before = policy.logits.detach()[QUESTION].clone()
    trainer(policy, "GRPO", lr=1.0).learn([rollout([RIGHT], [1], [1.0]), rollout([WRONG], [1], [0.0])], 1)
    advantage = 0.5 / (math.sqrt(0.5) + 1e-4)
    step = torch.zeros(3)
    step[[RIGHT, WRONG]] = torch.tensor([advantage, -advantage]) / 2  # the softmax terms of the two cancel
    assert torch.allclose(policy.logits.detach()[QUESTION], before + step, atol=1e-6)


def test_outcome_supervision_gives_every_token_the_same_and_process_supervision_what_comes() -> None:
    pair = [rollout([1, 1, 2], [2, 3], [0.0, 2.0]), rollout([1], [1], [1.0])]
    for algorithm, expected in (
        (GRPO(dr_grpo=True), [[0.5] * 3, [-0.5]]),
        (GRPO(dr_grpo=True, supervision="process"), [[0.0, 0.0, 1.0], [0.0]]),
        (RLOO(), [[1.0], [-1.0]]),
    ):
        assert [one.advantages.tolist() for one in algorithm.credited(pair)] == expected


def test_appo_and_tppo_by_hand() -> None:
    """Values .1, .2, .3 before three tokens in steps of two and one; gamma 1, lambda 1: advantages are R - V."""
    for algorithm, expected in ((APPO(gae_lambda=1.0), [2 - 0.1, 2 - 0.3]), (TPPO(gae_lambda=1.0), [1.9, 1.8, 1.7])):
        [one] = algorithm.credited([rollout([1, 1, 2], [2, 3], [0.0, 2.0], values=torch.tensor([0.1, 0.2, 0.3]))])
        assert one.returns is not None and one.returns.tolist() == pytest.approx([2.0] * len(expected))
        plain = torch.tensor(expected)
        assert torch.allclose(one.advantages, (plain - plain.mean()) / plain.std(correction=0), atol=1e-5)


def test_kl_in_the_reward_is_taken_off_where_it_arises() -> None:
    before = rollout(
        [1, 1, 2], [2, 3], [0.0, 2.0], values=torch.zeros(3), old_logprobs=torch.tensor([-1.0, -1.0, -1.0]),
        reference_logprobs=torch.tensor([-2.0, -1.5, -1.0]),
    )  # fmt: skip
    options: dict[str, Any] = {"gae_lambda": 1.0, "kl_coef": 0.1, "kl_in": "reward"}
    [one] = APPO(**options).credited([before])
    assert one.returns is not None and one.returns.tolist() == pytest.approx([2 - 0.15, 2.0])
    [one] = TPPO(**options).credited([before])
    assert one.returns is not None and one.returns.tolist() == pytest.approx([2 - 0.15, 2 - 0.05, 2.0])


@pytest.mark.parametrize("algorithm", ["APPO", "TPPO", "GRPO", "RLOO"])
@pytest.mark.parametrize("aggregation", ["token", "sequence", "constant"])
def test_the_cut_into_passes_changes_nothing(algorithm: str, aggregation: str) -> None:
    found = []
    for budget in (1, 8, 4096):  # a solution a pass, two or three, all
        policy = TablePolicy()
        options: dict[str, Any] = {"aggregation": aggregation, "longest": 6, "kl_coef": 0.1, "entropy_coef": 0.05}
        one = trainer(policy, algorithm, token_budget=budget, **options)
        policy.logits.data[0, 1] += 0.3  # away from the reference
        metrics = one.learn(mixed(), 1)
        of_test: Any = one.critic
        critic = of_test.table.detach() if isinstance(of_test, TableCritic) else torch.zeros(1)
        found.append((policy.logits.detach().clone(), critic.clone(), metrics))
    for logits, critic, metrics in found[1:]:
        assert torch.allclose(logits, found[0][0], atol=1e-6)
        assert torch.allclose(critic, found[0][1], atol=1e-6)
        assert metrics["loss"] == pytest.approx(found[0][2]["loss"], abs=1e-6)


class CountingPolicy(TablePolicy):
    """Counts the solutions that it looks at with gradients or without."""

    rows = 0

    def logprobs(self, one: RolloutPass) -> tuple[torch.Tensor, torch.Tensor]:
        self.rows += len(one.rollouts)
        return super().logprobs(one)


def learnt(algorithm: str) -> tuple[CountingPolicy, torch.Tensor, dict[str, float]]:
    """Three equal samples of four, and two that are equal but for their rewards: policy, critic and metrics after."""
    equal = [rollout([1, 2, 2], [1, 3], [0.5, 1.0], sampled_logprob=-3.0) for _ in range(3)]
    samples = [*equal, rollout([2, 1], [2], [0.0]), *(rollout([2], [1], [r], group=1) for r in (0.0, 1.0))]
    policy = CountingPolicy()
    policy.logits.data[0, 1] += 0.3  # away from the reference
    one = trainer(policy, algorithm, kl_coef=0.1, entropy_coef=0.05, ppo_epoch=2)
    metrics = one.learn(samples, 1)
    critic: Any = one.critic
    return policy, critic.table.detach() if critic else torch.zeros(1), metrics


@pytest.mark.parametrize("algorithm", ["APPO", "TPPO", "GRPO", "RLOO"])
def test_equal_samples_go_through_the_models_once_and_change_nothing(
    algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy, critic, metrics = learnt(algorithm)
    monkeypatch.setattr("train.mat.trainers.trainer.alike", lambda rollouts: [[one] for one in rollouts])
    other, other_critic, expected = learnt(algorithm)
    assert (policy.rows, other.rows) == (3 + 2 * 4, 3 * 6), "before the first step, and in two epochs"
    assert torch.allclose(policy.logits, other.logits, atol=1e-6) and torch.allclose(critic, other_critic, atol=1e-6)
    assert metrics == pytest.approx(expected, abs=1e-6)


def test_the_first_step_on_a_batch_has_ratio_one_and_later_ones_do_not() -> None:
    policy = TablePolicy()
    one = trainer(policy, "GRPO", lr=1.0, ppo_epoch=2)
    metrics = one.learn([rollout([RIGHT], [1], [1.0]), rollout([WRONG], [1], [0.0])], 1)
    assert metrics["kl_old"] > 1e-4  # mean over both epochs; the first one's is 0
    again = trainer(TablePolicy(), "GRPO", lr=1.0)
    assert again.learn([rollout([RIGHT], [1], [1.0]), rollout([WRONG], [1], [0.0])], 1)["kl_old"] == 0


def test_solutions_without_an_advantage_cost_no_pass_and_change_nothing() -> None:
    equal = [rollout([RIGHT], [1], [1.0], group=1), rollout([RIGHT, RIGHT], [2], [1.0], group=1)]
    differing = [rollout([RIGHT], [1], [1.0]), rollout([WRONG], [1], [0.0])]
    policy = TablePolicy()
    metrics = trainer(policy, "GRPO").learn(differing + equal, 1)
    assert metrics["with_gradient"] == 0.5
    before = policy.logits.detach().clone()
    assert trainer(policy, "GRPO").learn(equal, 2)["with_gradient"] == 0.0
    assert torch.equal(policy.logits.detach(), before)


def test_trainer_against_sampler_is_weighted_and_told() -> None:
    """The sampler says twice the probability that the trainer computes: the solution counts half."""
    grown = []
    for told in (0.0, math.log(2)):
        policy = TablePolicy()
        pair = [rollout([RIGHT], [1], [1.0]), rollout([WRONG], [1], [0.0])]
        table = policy.logits.detach().log_softmax(-1)[QUESTION]
        pair = [replace(one, sampled_logprob=table[one.token_ids[0]].item() + told) for one in pair]
        before = policy.logits.detach().clone()
        metrics = trainer(policy, "GRPO", lr=1.0).learn(pair, 1)
        assert metrics["sampler_gap"] == pytest.approx(told, abs=1e-5)
        grown.append((policy.logits.detach() - before)[QUESTION, RIGHT].item())
    assert grown[1] == pytest.approx(grown[0] / 2, rel=1e-4)


@pytest.mark.parametrize("algorithm", ["APPO", "GRPO"])
def test_a_loss_that_is_no_number_ends_the_run_and_leaves_the_weights(algorithm: str) -> None:
    policy = TablePolicy()
    one = trainer(policy, algorithm)
    before = policy.logits.detach().clone()
    bad = [rollout([RIGHT], [1], [math.inf], group=3), rollout([WRONG], [1], [0.0], group=3)]
    with pytest.raises(RunError, match=r"update 7, epoch 0, mini-batch 0 \(questions q3"):
        one.learn(bad, 7)
    assert torch.equal(policy.logits.detach(), before)


OPTIONS = [
    ("GRPO", {}),
    ("GRPO", {"supervision": "process"}),
    ("GRPO", {"dr_grpo": True, "longest": 2, "lr": 1.0}),
    ("GRPO", {"ratio": "sequence", "mean_ratio": True, "ppo_epoch": 2, "num_mini_batch": 2}),
    ("GRPO", {"clip_high": 0.28, "aggregation": "token", "ppo_epoch": 2}),
    ("GRPO", {"kl_coef": 0.01, "kl_estimator": "k2"}),
    ("GRPO", {"kl_coef": 0.01, "kl_in": "reward", "kl_estimator": "k1"}),
    ("RLOO", {}),
    ("APPO", {}),
    ("APPO", {"mean_ratio": True, "ppo_epoch": 2, "num_mini_batch": 2}),
    ("TPPO", {}),
    ("TPPO", {"token_lambda": 0.9, "gamma": 0.95, "ppo_epoch": 2}),
]


@pytest.mark.parametrize(("algorithm", "options"), OPTIONS)
def test_it_solves_a_problem_of_two_steps(algorithm: str, options: dict) -> None:
    """Two tokens must both be RIGHT, each a step; the reward comes with the second. From about 1/9 to above 0.9."""
    policy = TablePolicy()
    lr = options.get("lr", 0.5)
    one = trainer(policy, algorithm, lr=lr, **{k: v for k, v in options.items() if k != "lr"})
    generator = torch.Generator().manual_seed(0)

    def right() -> float:
        table = policy.logits.detach().softmax(-1)
        return (table[QUESTION, RIGHT] * table[RIGHT, RIGHT]).item()

    assert right() < 0.2
    for update in range(150):
        batch = []
        table = policy.logits.detach().softmax(-1)
        for i in range(32):
            first = int(torch.multinomial(table[QUESTION], 1, generator=generator))
            second = int(torch.multinomial(table[first], 1, generator=generator))
            solved = float(first == second == RIGHT)
            rewards = (
                [float(first == RIGHT), solved - (first == RIGHT)] if options.get("supervision") else [0.0, solved]
            )
            batch.append(rollout([first, second], [1, 2], rewards, group=i // 8))
        one.learn(batch, update)
        if right() > 0.9:
            return
    pytest.fail(f"only {right():.2f} after 150 updates")
