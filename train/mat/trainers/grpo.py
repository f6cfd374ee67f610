"""GRPO (Shao et al., 2024): the solutions of one question are compared with each other, without a critic.

    outcome   A of every token = (R_i - mean R) / std R over the group, R_i the sum of the solution's step rewards
    process   all step rewards of the group are normalised; A of a token = their sum over steps ending at or after it

Dr.GRPO (Liu et al., 2025) is `by_std` off with aggregation "constant". The KL to the reference is in the loss, as
published, or in the reward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from train.mat.buffers.rollout import Rollout
from train.mat.trainers.appo import rewards_less_kl
from train.mat.trainers.groups import normalised, rewards_to_go
from train.mat.trainers.options import Options


def advantages(rollouts: Sequence[Rollout], options: Options) -> None:
    """Set advantages of each solution, one a unit of `options.ratio`."""
    if options.supervision == "outcome":
        by_total(rollouts, options, lambda totals: normalised(totals, options.by_std))
        return
    for members in groups(rollouts):
        step_rewards = [rewards_less_kl(one, options) for one in members]
        for one, of_steps in zip(members, rewards_to_go(step_rewards, options.by_std), strict=True):
            one.advantages = of_steps[one.step_of_token()] if options.ratio == "token" else of_steps


def by_total(rollouts: Sequence[Rollout], options: Options, compare: Callable[[Tensor], Tensor]) -> None:
    """Give all units of a solution the advantage that `compare` finds from the totals [n] of its group."""
    for members in groups(rollouts):
        totals = torch.stack([rewards_less_kl(one, options).sum() for one in members])
        for one, advantage in zip(members, compare(totals), strict=True):
            count = {"token": len(one.token_ids), "step": len(one.steps), "sequence": 1}[options.ratio]
            one.advantages = advantage.expand(count).clone()


def groups(rollouts: Sequence[Rollout]) -> list[list[Rollout]]:
    """The solutions by their question's draw."""
    found: dict[int, list[Rollout]] = {}
    for one in rollouts:
        found.setdefault(one.group, []).append(one)
    return list(found.values())
