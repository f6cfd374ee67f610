"""Lookahead search (Snell et al., 2024, section 5.2): beam search whose candidates are judged by what they lead to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from reason.common.options import option
from reason.guided_search.beam_search import beam_search
from reason.guided_search.method import Method
from reason.guided_search.solution import Solution
from reason.guided_search.tree import Node, SearchTree


@dataclass(frozen=True)
class Lookahead(Method):
    """Beam search whose steps are judged by what they lead to in k greedy steps."""

    lookahead_steps: int = option(1, "steps of a rollout", metavar="k", least=1)

    async def search(self, tree: SearchTree) -> list[Solution]:
        """See `lookahead`."""
        beams = tree.options.beams(cost=self.lookahead_steps + 1)
        return await lookahead(tree, *beams, tree.options.depth, self.lookahead_steps)


async def lookahead(tree: SearchTree, width: int, beam_size: int, max_depth: int, k: int) -> list[Solution]:
    """Beam search in which a node is worth the PRM's score at the end of a rollout of k steps at temperature 0.

    A candidate costs k + 1 sampled steps, so a budget of N runs with N / (k + 1) candidates a round. Rollouts
    only judge: what they wrote is no part of the tree. No rollout is made where all candidates are kept.
    """

    async def judge(nodes: list[Node]) -> list[float]:
        return await asyncio.gather(*(tree.look_ahead(node, k) for node in nodes))

    return await beam_search(tree, width, beam_size, max_depth, judge)
