"""One update: gradients of all passes on all processes added up, checked, clipped, and a step of each optimizer.

The loss of an update is a sum whose weights are settled before it is cut into passes, so the cut changes speed and
memory and nothing else. Nothing is learnt from an update whose loss or gradient is not finite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from reason.common.errors import RunError
from train.core.processes import ALONE, Processes
from train.core.sharding import clip_gradients

P = TypeVar("P")


@dataclass(frozen=True)
class Learner:
    """Weights that one optimizer moves, and whose gradients are clipped together."""

    name: str  # of its gradient's norm in figures and errors
    parameters: list[nn.Parameter]
    optimizer: torch.optim.Optimizer
    rate: float  # the highest learning rate

    def set_rate(self, share: float) -> float:
        """Learn at this share of the highest rate; returns the rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * share
        return self.rate * share


def rate_share(update: int, updates: int, warmup: int, falls_behind: int | None) -> float:
    """The share of the highest learning rate at an update counted from 1.

    It rises to 1 over `warmup` updates. With `falls_behind` it then falls along the line from 1 behind so many updates
    to 0 behind the last one.
    """
    warm = min(update / warmup, 1.0) if warmup else 1.0
    if falls_behind is None:
        return warm
    return warm * (1 - max(update - 1 - falls_behind, 0) / max(updates - falls_behind, 1))


def update(
    learners: Sequence[Learner],
    passes: Iterable[P],
    loss_of: Callable[[P], Tensor],
    max_grad_norm: float,
    where: str,
    processes: Processes = ALONE,
) -> dict[str, float]:
    """Learn from one update; returns the loss, and each learner's norm of gradients before clipping, by name.

    `passes` are this process's; `loss_of` gives the part of the loss that stands in one of them, without a mean over
    passes or processes. Raises RunError in all processes, before a weight has moved, with `where` the update stands.
    """
    total = 0.0
    for part in passes:
        loss = loss_of(part)
        loss.backward()
        total += loss.item()
    figures = {"loss": sum(processes.gather(total))}
    check_finite(figures["loss"], "the loss", where)
    for learner in learners:
        processes.add_gradients(learner.parameters)
        figures[learner.name] = clip_gradients(learner.parameters, max_grad_norm).item()
        check_finite(figures[learner.name], learner.name, where)
    for learner in learners:
        learner.optimizer.step()
        learner.optimizer.zero_grad()
    return figures


def check_finite(value: float, what: str, where: str) -> None:
    """Raises RunError."""
    if not math.isfinite(value):
        raise RunError(f"{what} is {value} at {where}: nothing was learnt from it; lower the learning rate")
