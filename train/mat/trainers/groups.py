"""Advantages from comparing the solutions of one question, without a critic."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

EPS = 1e-4


def normalised(rewards: Tensor, by_std: bool = True) -> Tensor:
    """(r - mean) / std of one group's rewards [n] (GRPO; Shao et al., 2024, section 4.1.2).

    Without `by_std` it is r - mean (Dr.GRPO; Liu et al., 2025): the std makes questions that are nearly always or
    nearly never solved count most. A group whose rewards are all equal says nothing: its advantages are 0.
    """
    centred = rewards - rewards.mean()
    if not by_std:
        return centred
    return centred / (rewards.std() + EPS)


def leave_one_out(rewards: Tensor) -> Tensor:
    """r_i - mean of the others, [n] with n >= 2 (RLOO; Ahmadian et al., 2024)."""
    return (rewards - rewards.mean()) * (len(rewards) / (len(rewards) - 1))


def rewards_to_go(step_rewards: Sequence[Tensor], by_std: bool = True) -> list[Tensor]:
    """Process supervision (Shao et al., 2024, section 4.1.3): advantages of the steps of each solution of a group.

    All step rewards of the group are normalised together; a step's advantage is the sum of the normalised rewards of
    itself and of the steps after it. step_rewards: [steps] for each solution.
    """
    flat = normalised(torch.cat(list(step_rewards)), by_std)
    return [part.flip(0).cumsum(0).flip(0) for part in flat.split([len(part) for part in step_rewards])]
