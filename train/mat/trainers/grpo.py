"""GRPO (Shao et al., 2024): the solutions of one question are compared with each other, without a critic.

    outcome   A of every token = (R_i - mean R) / std R over the group, R_i the sum of the solution's step rewards
    process   all step rewards of the group are normalised; A of a token = their sum over steps ending at or after it

Dr.GRPO (Liu et al., 2025) leaves out the std and all lengths. The KL to the reference is in the loss, as published, or
in the reward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from reason.common.errors import UserError
from reason.common.options import option
from train.mat.trainers.algorithm import Algorithm

if TYPE_CHECKING:
    from torch import Tensor

    from train.mat.buffers.rollout import Rollout


@dataclass(frozen=True)
class GRPO(Algorithm):
    """Group-relative policy optimisation."""

    compares: ClassVar[bool] = True
    usual_aggregation: ClassVar[str] = "sequence"

    supervision: str = option("outcome", "what is compared: solutions or steps", choices=("outcome", "process"))
    dr_grpo: bool = option(False, "without std and without length: --aggregation constant", switch=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.dr_grpo and self.aggregation not in (None, "constant"):
            raise UserError("--dr_grpo is --aggregation constant")
        if self.supervision == "process" and self.ratio == "sequence":
            raise UserError("--supervision process gives steps advantages of their own: --ratio must be token or step")

    @property
    def weighing(self) -> str:
        """See `Algorithm`."""
        return "constant" if self.dr_grpo else super().weighing

    def credited(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """The solutions with their advantages."""
        from train.mat.trainers.groups import normalised, rewards_to_go

        by_std = not self.dr_grpo
        if self.supervision == "outcome":
            return by_total(self, rollouts, lambda totals: normalised(totals, by_std))
        credited = []
        for group in groups_of(rollouts):
            of_steps = rewards_to_go([self.rewards_less_kl(rollout) for rollout in group], by_std)
            for rollout, advantages in zip(group, of_steps, strict=True):
                of_units = advantages[rollout.step_of_token()] if self.unit == "token" else advantages
                credited.append(replace(rollout, advantages=of_units))
        return credited


def by_total(algorithm: Algorithm, rollouts: Sequence[Rollout], compare: Callable[[Tensor], Tensor]) -> list[Rollout]:
    """Give all units of a solution the advantage that `compare` finds from the totals [n] of its group."""
    import torch

    credited = []
    for group in groups_of(rollouts):
        totals = torch.stack([algorithm.rewards_less_kl(rollout).sum() for rollout in group])
        for rollout, advantage in zip(group, compare(totals), strict=True):
            units = {"token": len(rollout.token_ids), "step": len(rollout.steps), "sequence": 1}[algorithm.unit]
            credited.append(replace(rollout, advantages=advantage.expand(units).clone()))
    return credited


def groups_of(rollouts: Sequence[Rollout]) -> list[list[Rollout]]:
    """The solutions by their question's draw."""
    groups: dict[int, list[Rollout]] = {}
    for rollout in rollouts:
        groups.setdefault(rollout.group, []).append(rollout)
    return list(groups.values())
