"""Step-level beam search guided by a PRM (Snell et al., 2024, section 5.2)."""

from __future__ import annotations

from reason.guided_search.solution import Solution
from reason.guided_search.tree import Node, SearchTree


async def beam_search(tree: SearchTree, width: int, beam_size: int, max_depth: int) -> list[Solution]:
    """The first round draws width * beam_size steps from the root; each round keeps the best `beam_size` nodes,
    finished ones included, and draws `width` from each that grows; the last round writes to the end.

    Returns every solution that was finished on the way, for the vote.
    """
    finished: list[Node] = []
    beam, children = [tree.root], await tree.expand([tree.root], width * beam_size, to_end=max_depth == 1)
    for depth in range(2, max_depth + 2):
        finished += [node for node in children if node.finished]
        beam = best(children + [node for node in beam if node.finished], beam_size)
        growing = [node for node in beam if not node.finished]
        if not growing:
            break
        children = await tree.expand(growing, width, to_end=depth >= max_depth)
    tree.collect(finished)
    return tree.solutions()


def best(nodes: list[Node], k: int) -> list[Node]:
    """The k nodes whose last step scores highest; among equals the first drawn."""
    return sorted(nodes, key=lambda node: -node.score)[:k]
