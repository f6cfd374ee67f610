"""Lookahead search (Snell et al., 2024, section 5.2): beam search whose candidates are judged by what they lead to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from reason.common.options import option
from reason.guided_search.beam_search import beam_search
from reason.guided_search.method import Method
from reason.guided_search.node import Node
from reason.guided_search.solution import Solution
from reason.guided_search.tree import SearchTree


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

    async def worth(nodes: list[Node]) -> list[float]:
        return await asyncio.gather(*(look_ahead(tree, node, k) for node in nodes))

    return await beam_search(tree, width, beam_size, max_depth, worth)


async def look_ahead(tree: SearchTree, node: Node, steps: int) -> float:
    """The PRM's score at the end of `steps` greedy steps after `node`, or of fewer where the text ends.

    These steps are sampled steps like all others, but no part of the tree.
    """
    end, drawn, limits = node, 0, tree.limits
    if limits.spent():
        return node.score
    while drawn < steps and not end.finished:
        samples = await limits.in_time(tree.writer.write(end, tree.seeds(node, -1, [drawn]), to_end=False, greedy=True))
        if samples is None:
            return node.score
        end, drawn = Node(end, samples[0].text, (*end.path, 0), samples[0].num_tokens), drawn + 1
        end.finish_reason = tree.finish_reason(end, samples[0], to_end=False)
        limits.count(end.num_tokens, steps=1)
    if not drawn:
        return node.score
    scores = await limits.in_time(tree.score([end.steps()]))
    return scores[0][-1] if scores and scores[0] else node.score
