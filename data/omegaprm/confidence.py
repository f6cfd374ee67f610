"""When the estimate of a point is decided, so that the rest of its rollouts can be spent elsewhere."""

from __future__ import annotations

from math import ceil, comb

from data.omegaprm.options import LabelOptions


def decided(c: int, n: int, k: int, options: LabelOptions) -> bool:
    """Whether c right ones of n rollouts, of k allowed, settle the point's hard label.

    c = 0: the chance of that at a value v of `least_value` is at most `error`, (1 - v)^n <= error.
    Label c > 0: one right rollout settles it, for certain.
    Label c/k > 0.5: no outcome of the remaining rollouts changes it, or the exact binomial test refuses 0.5 at
    `error` divided by the number of looks (Bonferroni).
    """
    if n >= k:
        return True
    if c == 0:
        return (1 - options.least_value) ** n <= options.error
    if options.hard_label == "any":
        return True
    certain = 2 * c > k or 2 * (c + k - n) <= k
    delta = options.error / ceil(k / options.wave)
    return certain or min(at_least(c, n, 0.5), at_least(n - c, n, 0.5)) <= delta


def at_least(c: int, n: int, p: float) -> float:
    """P(X >= c) for X ~ Binomial(n, p)."""
    return sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(c, n + 1))
