"""Adaptive best-of-N: whole solutions in waves, until those that remain cannot change the vote any more."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from reason.common.options import option
from reason.guided_search.best_of_n import BestOfN
from reason.guided_search.method import Method
from reason.guided_search.solution import Solution
from reason.guided_search.tree import SearchTree
from reason.inference.base import MOST_SAMPLES
from reason.reranking import aggregate, cluster
from reason.reranking.votes import TIE


@dataclass(frozen=True)
class AdaptiveBestOfN(Method):
    """Best-of-N in waves, until the samples that remain cannot change the vote."""

    wave_size: int = option(4, "samples between looks", least=1, most=MOST_SAMPLES)

    needs_rm: ClassVar[bool] = False
    unused: ClassVar[tuple[str, ...]] = BestOfN.unused

    async def search(self, tree: SearchTree) -> list[Solution]:
        """See `adaptive_best_of_n`."""
        return await adaptive_best_of_n(tree, tree.options.n, self.wave_size)


async def adaptive_best_of_n(tree: SearchTree, n: int, wave_size: int) -> list[Solution]:
    """At most N samples, the same as best-of-N's, `wave_size` at a time.

    Stops when v(1) - v(2) > (N - n) s_max: the lead of the first answer over the second exceeds what the N - n samples
    that remain can weigh. v is the headline vote: majority (s_max = 1) without a PRM, else weighted by the aggregate
    that the PRM's card names (s_max = 1 where scores are probabilities; where they are not it never stops). So the
    headline is best-of-N's; the `*_max` votes are not.
    """
    grader = tree.grader or tree.task.grader()
    drawn = 0
    try:
        while drawn < n and not tree.limits.spent():
            wave = min(wave_size, n - drawn)
            await tree.sample_solutions(wave)
            drawn += wave
            solutions = tree.solutions()
            clusters = await cluster([solution.answer for solution in solutions], grader)
            if lead([weight(tree, s) for s in solutions], clusters) > (n - drawn) * greatest_weight(tree) + TIE:
                break
    finally:
        if tree.grader is None:
            await grader.close()
    return tree.solutions()


def lead(weights: list[float], clusters: list[int | None]) -> float:
    """The greatest sum of weights of equal answers less the second greatest."""
    sums: dict[int, float] = {}
    for s, c in zip(weights, clusters, strict=True):
        if c is not None:
            sums[c] = sums.get(c, 0.0) + s
    first, second = sorted([*sums.values(), 0.0, 0.0], reverse=True)[:2]
    return first - second


def weight(tree: SearchTree, solution: Solution) -> float:
    """What a solution's vote weighs; one without an answer has none."""
    if solution.answer is None or not solution.scores:
        return 0.0 if tree.rm or solution.answer is None else 1.0
    return aggregate(solution.scores, tree.rm.card.aggregation) if tree.rm else 1.0


def greatest_weight(tree: SearchTree) -> float:
    """s_max."""
    if tree.rm is None:
        return 1.0
    card = tree.rm.card
    bounded = card.meaning in ("correctness", "value") and (card.head != "value" or card.sigmoid)
    return 1.0 if bounded else math.inf
