"""REBASE, reward balanced search (Wu et al., 2024): at each depth the budget is spread by a softmax of the rewards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from reason.common.options import option
from reason.guided_search.method import Method
from reason.guided_search.node import Node
from reason.guided_search.solution import Solution
from reason.guided_search.tree import SearchTree


@dataclass(frozen=True)
class Rebase(Method):
    """Reward balanced search: the budget of each depth is spread by the rewards."""

    rebase_temperature: float = option(0.2, "temperature of the softmax over rewards", metavar="T_b", above=0)

    unused: ClassVar[tuple[str, ...]] = ("width",)

    async def search(self, tree: SearchTree) -> list[Solution]:
        """See `rebase`."""
        return await rebase(tree, tree.options.n, self.rebase_temperature, tree.options.depth)


async def rebase(tree: SearchTree, n: int, temperature: float, max_depth: int) -> list[Solution]:
    """The root draws N steps. At each depth a finished leaf takes one of the budget B for good, and node i of those
    that grow draws W_i = ceil(B exp(R_i / T_b) / sum_j exp(R_j / T_b)) steps; R is the PRM's score of its last step.

    Returns all finished leaves, for the weighted vote. Equal samples are one node here, of their common weight.
    """
    finished: list[Node] = []
    growing, widths = [tree.root], [n]
    for depth in range(1, max_depth + 1):
        children = await tree.expand(growing, widths, to_end=depth == max_depth)
        finished += [leaf for leaf in children if leaf.finished for _ in range(leaf.count)]
        growing = sorted((node for node in children if not node.finished), key=lambda node: -node.score)
        weights = [node.count * math.exp((node.score - growing[0].score) / temperature) for node in growing]
        widths = spread(n - len(finished), weights)
        growing, widths = growing[: len(widths)], widths
        if not growing:
            break
    tree.collect(finished)
    return tree.solutions()


def spread(budget: int, weights: Sequence[float]) -> list[int]:
    """Shares of `budget` in proportion to `weights`, each rounded up from what is left; those of 0 are left out.

    >>> spread(8, [4.0, 2.0, 1.0, 1.0])
    [4, 2, 1, 1]
    >>> spread(3, [1.0, 1.0, 1.0, 1.0])
    [1, 1, 1]
    """
    shares, left = [], sum(weights)
    for weight in weights:
        # the last weights can be lost in the rounding of `left`
        share = min(budget, math.ceil(budget * weight / left - 1e-9)) if left > 0 else 0
        if budget < 1:
            break
        shares.append(max(1, share))
        budget, left = budget - shares[-1], left - weight
    return shares
