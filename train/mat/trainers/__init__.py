"""The algorithms: which advantages they give, and what has one probability ratio in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from train.mat.buffers.rollout import Rollout
from train.mat.trainers import appo, grpo, rloo, tppo
from train.mat.trainers.options import Options


@dataclass(frozen=True)
class Algorithm:
    """One algorithm and the options that are usual for it."""

    advantages: Callable[[Sequence[Rollout], Options], None]
    needs_critic: bool
    ratio: str
    aggregation: str


ALGORITHMS = {
    "APPO": Algorithm(appo.advantages, True, "step", "token"),
    "TPPO": Algorithm(tppo.advantages, True, "token", "token"),
    "GRPO": Algorithm(grpo.advantages, False, "token", "sequence"),
    "RLOO": Algorithm(rloo.advantages, False, "sequence", "sequence"),
}
