"""Intervals and paired tests over questions. numpy is imported when needed, so the CLI's help stays instant.

The unit that is resampled is the question: two runs are compared on the questions that both finished.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

RESAMPLES = 10_000
_CHUNK = 2_000_000  # resampled values held at once, 16 MB


class Estimate(NamedTuple):
    """An estimate with its 95 % interval."""

    mean: float
    low: float
    high: float


def mean(values: Sequence[float]) -> float:
    """The mean of at least one value; raises ValueError for none."""
    if not values:
        raise ValueError("no values to take the mean of")
    return sum(values) / len(values)


def bootstrap(values: Sequence[float], seed: int = 0, resamples: int = RESAMPLES) -> Estimate:
    """Mean of shape (n,) values with the percentile bootstrap's 95 % interval (Efron, 1979).

    The values' order makes no difference: questions end in another one each time.
    """
    import numpy as np

    data = np.sort(np.asarray(values, dtype=float))
    estimate = mean(values)
    rng, n = np.random.default_rng(seed), len(data)
    means = np.empty(resamples)
    rows = max(1, _CHUNK // n)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        means[start : start + count] = data[rng.integers(0, n, size=(count, n))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(estimate, float(low), float(high))


def paired_bootstrap(a: Sequence[float], b: Sequence[float], seed: int = 0) -> Estimate:
    """Mean of a - b over the same questions, in the same order, with its 95 % interval."""
    if len(a) != len(b):
        raise ValueError(f"paired values must be equally many, not {len(a)} and {len(b)}")
    return bootstrap([x - y for x, y in zip(a, b)], seed)


def mcnemar(a: Sequence[float], b: Sequence[float]) -> float:
    """Exact two-sided McNemar p-value for paired 0/1 outcomes (McNemar, 1947; binomial form).

    With n discordant pairs, k of them in favour of one side: p = min(1, 2 P(X <= min(k, n - k))), X ~ Bin(n, 1/2).
    """
    from math import comb

    if len(a) != len(b):
        raise ValueError(f"paired outcomes must be equally many, not {len(a)} and {len(b)}")
    if not set(a) | set(b) <= {0, 1}:
        raise ValueError("McNemar's test takes outcomes of 0 and 1")
    only_a = sum(x > y for x, y in zip(a, b))
    n = only_a + sum(x < y for x, y in zip(a, b))
    k = min(only_a, n - only_a)
    return min(1.0, float(2 * sum(comb(n, i) for i in range(k + 1)) / 2**n))
