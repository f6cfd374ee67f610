"""RLOO (Ahmadian et al., 2024): REINFORCE whose baseline is the mean reward of the question's other solutions.

A_i = R_i - mean of R_j over j != i,  R_i the sum of the solution's step rewards
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from train.mat.trainers.algorithm import Algorithm
from train.mat.trainers.grpo import by_total

if TYPE_CHECKING:
    from train.mat.buffers.rollout import Rollout


@dataclass(frozen=True)
class RLOO(Algorithm):
    """REINFORCE, leaving one out."""

    compares: ClassVar[bool] = True
    usual_ratio: ClassVar[str] = "sequence"
    usual_aggregation: ClassVar[str] = "sequence"

    def credited(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """The solutions with their advantages."""
        from train.mat.trainers.groups import leave_one_out

        return by_total(self, rollouts, leave_one_out)
