"""MCTS-alpha (Feng et al., 2023): decode step by step, each step by simulations from where the solution has got to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from reason.common.options import option
from reason.guided_search.mcts import can_draw, finish, walk
from reason.guided_search.node import Node
from reason.guided_search.puct import MCTS, Puct
from reason.guided_search.solution import Solution
from reason.guided_search.tree import SearchTree
from reason.guided_search.walks import Walk, drive


@dataclass(frozen=True)
class MCTSAlpha(MCTS):
    """MCTS-alpha: each step of a solution is decided by simulations."""

    num_simulation: int = option(4, "simulations a step at most", least=1)

    async def search(self, tree: SearchTree) -> list[Solution]:
        """See `mcts_alpha`. A budget allows N / M simulations a step."""
        options = tree.options
        width, wide = options.beams()
        simulations, num_path = self.num_simulation, options.num_sequence
        if options.budget is not None:
            simulations = min(self.num_simulation, wide)
            num_path = wide // simulations
        return await mcts_alpha(tree, num_path, simulations, width, options.depth, self)


async def mcts_alpha(
    tree: SearchTree, num_path: int, num_simulation: int, width: int, max_depth: int, options: MCTS
) -> list[Solution]:
    """`num_path` solutions, each decoded in a tree of its own (the paper's inter-tree search), for the vote.

    A step costs about num_simulation * width samples, so a budget of N allows N / (num_simulation * width) solutions.
    """
    parts = tree.split(num_path)
    leaves = await asyncio.gather(*(decode(part, num_simulation, width, max_depth, options) for part in parts))
    tree.join(parts)
    tree.collect(leaf for leaf in leaves if leaf is not None)
    return tree.solutions()


async def decode(tree: SearchTree, num_simulation: int, width: int, max_depth: int, options: MCTS) -> Node | None:
    """Simulate from the current node, commit to its most visited child (the better scored of equals), go on.

    A simulation selects by PUCT, expands a leaf and backs up the PRM's value of its best new step; those of the steps
    before stay counted. When the budget of steps is used up the solution goes on along what is known, and one sample
    writes the rest. None when a limit of the question forbids that.
    """
    node, puct = tree.root, Puct(options)
    tree.visits = puct.visits
    while not node.finished:
        current, started = node, 0

        def start(on_their_way: int) -> Walk | None:
            nonlocal started
            if started >= num_simulation or not can_draw(tree):
                return None
            started += 1
            # it has run before `current` changes
            return walk(tree, puct, current, width, max_depth, "none", done=lambda leaf: None)  # noqa: B023

        await drive(tree, puct, start)
        if not can_draw(tree):
            return await finish(tree, puct, node)
        node = puct.most_visited(node)
    return node
