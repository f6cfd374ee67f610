"""From the PRM's step scores s_1..s_T of a solution to the rewards r_1..r_T of its steps.

    difference   r_t = s_t - s_{t-1}, s_0 = 0            a step is paid what it changes; the sum is s_T
    min_form     r_t = softmax_t(-p / tau) p_t, p = 2 s - 1, tau = 0.1
                                                         nearly all of it on the worst step; the sum is about min p
                                                         (PURE; Cheng et al., 2025, "Stop Summation")
    sum          r_t = s_t                               as OpenR: more steps are more reward, which is soon exploited

The sum of a solution's rewards is the return of its first step at gamma 1, and what group methods with outcome
supervision compare.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

TAU = 0.1


def difference(scores: Tensor) -> Tensor:
    """Rewards [T] from scores [T]."""
    return torch.diff(scores, prepend=scores.new_zeros(1))


def min_form(scores: Tensor) -> Tensor:
    """Rewards [T] from scores [T] in [0, 1]."""
    process = 2 * scores - 1
    return torch.softmax(-process / TAU, 0) * process


def plain_sum(scores: Tensor) -> Tensor:
    """Rewards [T] from scores [T]."""
    return scores.clone()


CREDITS: dict[str, Callable[[Tensor], Tensor]] = {"difference": difference, "min_form": min_form, "sum": plain_sum}
