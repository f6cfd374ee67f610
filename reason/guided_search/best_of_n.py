"""Best-of-N sampling (Cobbe et al., 2021; Li et al., 2023); greedy chain of thought is its N = 1 at temperature 0."""

from __future__ import annotations

from reason.guided_search.solution import Solution
from reason.guided_search.tree import SearchTree


async def best_of_n(tree: SearchTree, n: int) -> list[Solution]:
    """N independent whole solutions, scored by the PRM; the vote over them is the caller's."""
    await tree.sample_solutions(n)
    return tree.solutions()
