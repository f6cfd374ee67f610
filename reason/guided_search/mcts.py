"""Monte Carlo tree search guided by a PRM (Silver et al., 2017; Feng et al., 2023); OpenR's name is `vanila_mcts`.

Each path walks from the root to the end of a solution. Below a leaf it goes on by the rollout policy:

- value (default): expand, take the step that the PRM scores highest, and so on; this is what PUCT comes to where
  nothing was visited yet;
- prior: the same with the step of the greatest prior;
- full: the rest of the solution is one sample;
- none: expand, value the best new step by its PRM score, back up, and end there.

A finished solution is never walked twice, see `puct` on drawing again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reason.common.options import option
from reason.guided_search.node import Node
from reason.guided_search.puct import MCTS, Puct, chance_of_unseen, shares
from reason.guided_search.solution import Solution
from reason.guided_search.tree import SearchTree
from reason.guided_search.walks import Ask, Walk, drive


@dataclass(frozen=True)
class VanilaMCTS(MCTS):
    """Monte Carlo tree search: paths from the root to the end of a solution."""

    rollout: str = option("value", "how to go on below a leaf", choices=("value", "prior", "full", "none"))
    vain_walks: int = option(12, "walks in a row that find nothing new end a search without a budget", least=1)

    async def search(self, tree: SearchTree) -> list[Solution]:
        """See `vanila_mcts`."""
        options = tree.options
        num_path = options.num_sequence if options.budget is None else math.inf  # then the steps are counted
        return await vanila_mcts(tree, num_path, options.beams()[0], options.depth, self)

    @classmethod
    def shape(cls, config: Mapping[str, Any]) -> str:
        """See `Method.shape`."""
        return f"{config['num_sequence']} paths x {config['width']}"


async def vanila_mcts(
    tree: SearchTree, num_path: float, width: int, max_depth: int, options: VanilaMCTS
) -> list[Solution]:
    """At most `num_path` different solutions, in the order in which they were found.

    Without a budget it ends early when `vain_walks` walks in a row found no new step and no new solution (the policy
    has no more to say), and when 4 * num_path * max_depth expansions did not find them. With one it ends when the
    budget of steps is used up: paths that are then on their way are left, unless no solution was found, when one sample
    ends the best of them.
    """
    puct = Puct(options)  # whose closed nodes are the leaves that were walked to
    tree.visits = puct.visits
    expansions, walked = 4 * num_path * max_depth, 0  # walked: solutions
    vain_walks = options.vain_walks if num_path < math.inf else math.inf
    known, in_vain = -1, 0  # nodes and solutions at the last progress; walks that began since

    def done(leaf: Node) -> None:
        nonlocal walked
        puct.closed.add(leaf)
        tree.collect([leaf])
        walked += 1

    def start(on_their_way: int) -> Walk | None:
        nonlocal known, in_vain
        if tree.nodes + walked > known:
            known, in_vain = tree.nodes + walked, 0
        exhausted = tree.draws >= expansions or in_vain - on_their_way >= vain_walks
        if walked + on_their_way >= num_path or exhausted or not can_draw(tree):
            return None
        in_vain += 1
        return walk(tree, puct, tree.root, width, max_depth, options.rollout, done)

    await drive(tree, puct, start)
    if not walked and (leaf := await finish(tree, puct, tree.root)):
        tree.collect([leaf])
    return tree.solutions()


def walk(
    tree: SearchTree,
    puct: Puct,
    node: Node,
    width: int,
    max_depth: int,
    rollout: str,
    done: Callable[[Node], None],
) -> Walk:
    """One simulation: select from `node` on, expand, value, back up. `done` is called with the leaf it walked to."""
    while not node.finished:
        child = puct.select(node)
        if child is None:
            if not can_draw(tree):
                return
            leaf = not node.children
            new = yield Ask(node, int(min(width, tree.limits.steps_left)), node.depth + 1 >= max_depth)
            if new is None:
                continue
            child = None if not new else follow(node, rollout, puct.options.prior) if leaf else puct.select(node)
            if child is None:  # nothing to go on with: worth what another draw is
                puct.back_up(node, chance_of_unseen(node) * node.score)
                return
            if leaf and rollout == "none" and not child.finished:
                puct.back_up(child, child.score)
                return
            if leaf and rollout == "full" and not child.finished:
                rest = yield Ask(child, 1, True)
                child = rest[0] if rest else child  # nothing: drawn elsewhere, or a limit is used up
        node = child
    puct.back_up(node, node.score)
    done(node)


def follow(node: Node, rollout: str, prior: str) -> Node:
    """The rollout policy's choice among the steps just drawn; among equals the first."""
    if rollout == "prior":
        priors = shares(node, prior)
        return max(node.children.values(), key=lambda child: priors[child])
    return max(node.children.values(), key=lambda child: child.score)


def can_draw(tree: SearchTree) -> bool:
    """Whether neither the budget of steps nor a limit of the question is used up."""
    return tree.limits.steps_left >= 1 and not tree.limits.cut


async def finish(tree: SearchTree, puct: Puct, node: Node) -> Node | None:
    """The leaf that the search so far leads to, at each node by the most visited child, then the best scored.

    Where nothing was drawn yet one sample writes the rest; None when a limit of the question forbids that.
    """
    while node.children and not node.finished:
        node = puct.most_visited(node)
    if node.finished:
        return node
    return next(iter(await tree.expand([node], 1, to_end=True)), None)
