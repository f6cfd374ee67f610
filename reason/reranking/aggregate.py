"""Step scores -> one score of the solution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

AGGREGATES: dict[str, Callable[[Sequence[float]], float]] = {
    "last": lambda scores: scores[-1],
    "min": min,
    "prod": math.prod,
    "mean": lambda scores: sum(scores) / len(scores),
}


def aggregate(scores: Sequence[float], how: str) -> float:
    """`how` is last, min, prod or mean; raises KeyError for another and ValueError for no scores."""
    if not scores:
        raise ValueError("a solution without steps has no score")
    return float(AGGREGATES[how](scores))
