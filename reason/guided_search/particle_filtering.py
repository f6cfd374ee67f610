"""Particle filtering (Puri et al., 2025): a population of partial solutions, resampled by the PRM at each step."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from reason.common.options import option
from reason.guided_search.method import Method
from reason.guided_search.node import Node
from reason.guided_search.solution import Solution
from reason.guided_search.tree import SearchTree
from reason.reranking import aggregate

SURE = 1e-6  # a score is kept this far from 0 and 1, where its logit is infinite


@dataclass(frozen=True)
class ParticleFiltering(Method):
    """N partial solutions, resampled by the PRM at each step."""

    particle_weights: str = option("logit", "weight of a particle", choices=("logit", "ratio"))
    resampling: str = option("multinomial", "how particles are drawn anew", choices=("multinomial", "systematic"))
    ess_threshold: float = option(
        1.0, "resample at this share of effective particles; 1 is at each step", metavar="SHARE", least=0, most=1
    )

    unused: ClassVar[tuple[str, ...]] = ("width",)

    async def search(self, tree: SearchTree) -> list[Solution]:
        """See `particle_filtering`."""
        return await particle_filtering(tree, tree.options.n, tree.options.depth, self)


async def particle_filtering(tree: SearchTree, n: int, max_depth: int, options: ParticleFiltering) -> list[Solution]:
    """Each of N particles draws a step; then N are drawn anew with p = softmax(w), w_i = logit(r_i), where r_i is the
    PRM's aggregate (the card's) of particle i's prefix; until all are finished. Finished ones stay, with their weight.

    `particle_weights` "ratio" is w_i = sum of log r_t / r_(t-1) since the last resampling. `resampling` is multinomial
    or systematic, and happens where the effective sample size 1 / sum p_i^2 is at most `ess_threshold` N.
    Returns the last population: its majority is the filter's most likely answer, and the paper's, that of the
    greatest weight, is the one that the `*_max` vote of the aggregate chooses.
    """
    population, w = [tree.root] * n, {tree.root: 0.0}
    for depth in range(1, max_depth + 1):
        clones = Counter(node for node in population if not node.finished)
        children = await tree.expand(list(clones), list(clones.values()), to_end=depth == max_depth)
        for node in children:
            r, start = prefix_score(tree, node), node.lineage()[depth - 1]
            w[node] = (
                logit(r) if options.particle_weights == "logit" else w[start] + math.log(r / prefix_score(tree, start))
            )
        population = [node for node in population if node.finished]
        population += [node for node in children for _ in range(node.count)]
        if all(node.finished for node in population):
            break
        p = softmax([w[node] for node in population])
        if 1 / sum(x * x for x in p) <= options.ess_threshold * len(p) * (1 + 1e-9):
            population = [population[i] for i in resample(p, n, options.resampling, tree.chance(depth))]
            if options.particle_weights == "ratio":
                w = dict.fromkeys(population, 0.0)
    tree.collect(node for node in population if node.finished)
    return tree.solutions()


def prefix_score(tree: SearchTree, node: Node) -> float:
    """r, the aggregate of the prefix's step scores, inside (0, 1); before the first step 1."""
    scores = node.scores()
    r = aggregate(scores, tree.rm.card.aggregation) if scores and tree.rm else 1.0
    return min(max(r, SURE), 1 - SURE)


def logit(r: float) -> float:
    """log(r / (1 - r))."""
    return math.log(r / (1 - r))


def softmax(w: Sequence[float]) -> list[float]:
    """exp(w_i) / sum_j exp(w_j)."""
    greatest = max(w)
    powers = [math.exp(x - greatest) for x in w]
    return [x / sum(powers) for x in powers]


def resample(p: Sequence[float], n: int, how: str, random_numbers: random.Random) -> list[int]:
    """n indices, each i expected n p_i times: independent (multinomial), or by one offset in a comb (systematic)."""
    if how == "multinomial":
        return random_numbers.choices(range(len(p)), p, k=n)
    chosen, total, offset = list[int](), 0.0, random_numbers.random()
    for i, share in enumerate(p):
        total += share * n
        while len(chosen) + offset < total and len(chosen) < n:
            chosen.append(i)
    return chosen + [len(p) - 1] * (n - len(chosen))  # lost in the rounding of the sum
