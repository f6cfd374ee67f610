"""Diverse verifier tree search (Beeching et al., 2024, search-and-learn): beam search in trees that never compete."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from reason.guided_search.method import Method
from reason.guided_search.node import Node
from reason.guided_search.solution import Solution
from reason.guided_search.tree import SearchTree


@dataclass(frozen=True)
class Dvts(Method):
    """Diverse verifier tree search: N / M subtrees that never compete."""

    async def search(self, tree: SearchTree) -> list[Solution]:
        """See `dvts`."""
        return await dvts(tree, *tree.options.beams(), tree.options.depth)


async def dvts(tree: SearchTree, width: int, subtrees: int, max_depth: int) -> list[Solution]:
    """N / M independent subtrees (`subtrees`), each of which samples M steps (`width`), keeps its own best and goes on.

    Nothing is pruned across subtrees, and none waits for another. The vote is over the last M of each that are
    finished; equal ones count as often as they were drawn.
    """
    parts = tree.split(subtrees)
    last = await asyncio.gather(*(climb(part, width, max_depth) for part in parts))
    tree.join(parts)
    tree.collect(leaf for leaves in last for leaf in leaves)
    return tree.solutions()


async def climb(tree: SearchTree, width: int, max_depth: int) -> list[Node]:
    """Follow the best of `width` samples until it is finished; the finished ones of the last samples."""
    node, last = tree.root, list[Node]()
    while not node.finished:
        children = await tree.expand([node], width, to_end=node.depth + 1 >= max_depth)
        if not children:  # a limit is used up: what was finished before stays
            break
        node, last = max(children, key=lambda child: child.score), children  # among equals the first drawn
    return [leaf for leaf in last if leaf.finished for _ in range(leaf.count)]
