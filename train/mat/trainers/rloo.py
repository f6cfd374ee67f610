"""RLOO (Ahmadian et al., 2024): REINFORCE whose baseline is the mean reward of the question's other solutions.

A_i = R_i - mean of R_j over j != i,  R_i the sum of the solution's step rewards
"""

from __future__ import annotations

from collections.abc import Sequence

from train.mat.buffers.rollout import Rollout
from train.mat.trainers.groups import leave_one_out
from train.mat.trainers.grpo import by_total
from train.mat.trainers.options import Options


def advantages(rollouts: Sequence[Rollout], options: Options) -> None:
    """Set advantages of each solution, one a unit of `options.ratio`."""
    by_total(rollouts, options, leave_one_out)
