"""Policy and value losses over units: a unit is what has one probability ratio and one advantage.

A unit is a token (PPO, GRPO), a step (APPO: the step is the action) or a whole sequence (GSPO; Zheng et al., 2025).
Losses are returned for each unit; what a unit weighs in the loss of an update is known before the update is cut into
forward passes, so the cut changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import huber_loss


def unit_log_ratios(log_ratios: Tensor, units: Tensor, count: int, mean: bool) -> Tensor:
    """Log-ratios [count] of units from those of tokens [tokens]; units [tokens] says which unit a token is of.

    The sum is the log-ratio of the unit's probability; `mean` divides it by the unit's length, so that long units are
    not clipped more often than short ones.
    """
    total = log_ratios.new_zeros(count).index_add(0, units, log_ratios)
    if not mean:
        return total
    return total / log_ratios.new_zeros(count).index_add(0, units, torch.ones_like(log_ratios))


def clipped(log_ratios: Tensor, advantages: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """-min(rho A, clip(rho, 1 - low, 1 + high) A) and whether the clip took effect, each [units].

    PPO (Schulman et al., 2017, equation 7) with a bound of its own for rising probabilities: clip-higher of DAPO
    (Yu et al., 2025) leaves more room for unlikely tokens.
    """
    ratio = log_ratios.exp()
    free, bound = ratio * advantages, ratio.clamp(1 - low, 1 + high) * advantages
    return -torch.minimum(free, bound), bound < free


def unit_weights(sizes: Sequence[int], how: str, constant: int) -> list[float]:
    """What each unit of each sequence weighs in the loss, given the number of units of each sequence.

    token      1 / all units: every unit counts the same (DAPO)
    sequence   1 / (sequences x units of its own): every sequence counts the same (GRPO as published)
    constant   1 / (sequences x `constant`): no length in it at all (Dr.GRPO; constant = most tokens of any)
    """
    if how == "token":
        return [1 / max(sum(sizes), 1)] * len(sizes)
    if how == "sequence":
        return [1 / (len(sizes) * max(size, 1)) for size in sizes]
    return [1 / (len(sizes) * constant)] * len(sizes)


def value_losses(values: Tensor, old: Tensor, returns: Tensor, clip: float, huber_delta: float) -> Tensor:
    """Huber loss of returns, the worse of the value and the value kept within `clip` of the old one; [units].

    `clip` 0 leaves the value free. Huber: d^2 / 2 up to |d| = delta, linear beyond.
    """
    free = huber_loss(values, returns, reduction="none", delta=huber_delta)
    if not clip:
        return free
    near = old + (values - old).clamp(-clip, clip)
    return torch.maximum(free, huber_loss(near, returns, reduction="none", delta=huber_delta))


def importance_weights(log_ratios: Tensor, cap: float) -> Tensor:
    """min(pi_trainer / pi_sampler, cap), detached (truncated importance sampling; Yao et al., 2025)."""
    return log_ratios.detach().exp().clamp(max=cap)
