"""Monte Carlo tree search guided by a PRM: PUCT selection (Silver et al., 2017; Rosin, 2011), PRM values for leaves.

OpenR's name for it is `vanila_mcts`. Each path walks from the root to the end of a solution; below a leaf it
expands and goes on by the same rule, which there is the PRM's score alone, because nothing was visited yet.

A language model has no fixed set of actions, so at every node one more candidate stands beside its children:
to draw again. Its prior and its value are those of an unseen step, weighed by the chance that a draw is unseen
(Good-Turing: steps seen once over all draws). So a finished solution is never walked twice while another can be
found, and draws go where the prefix is good and what follows it is not.
"""

from __future__ import annotations

import math

from reason.guided_search.solution import Solution
from reason.guided_search.tree import Node, SearchTree


async def vanila_mcts(
    tree: SearchTree, num_path: int, width: int, max_depth: int, pb_c_base: float, pb_c_init: float
) -> list[Solution]:
    """At most `num_path` different solutions, in the order in which they were found.

    Ends early when 4 * num_path * max_depth expansions did not find them.
    """
    closed: set[Node] = set()  # subtrees in which every solution was walked
    expansions = 4 * num_path * max_depth
    found = 0
    while found < num_path and expansions > 0:
        node: Node | None = tree.root
        while node is not None and not node.finished:
            child = select(node, closed, pb_c_base, pb_c_init)
            if child is None:
                expansions -= 1
                new = await tree.expand([node], width, to_end=node.depth + 1 >= max_depth)
                child = select(node, closed, pb_c_base, pb_c_init) if new else None
                if child is None:  # nothing to go on with: worth what another draw is
                    back_up(node, chance_of_unseen(node) * node.score)
            node = child
        if node is None:
            continue
        back_up(node, node.score)
        closed.add(node)
        tree.collect([node])
        found += 1
    return tree.solutions()


def select(node: Node, closed: set[Node], pb_c_base: float, pb_c_init: float) -> Node | None:
    """The child of greatest Q + c P sqrt(N_parent) / (1 + N), c = ln((N_parent + base + 1) / base) + init.

    Q is the mean of the backed-up values, the child's own PRM score counting as one of them; P is its share of the
    samples drawn here. None: draw again.
    """
    if not node.children:
        return None
    children = node.children.values()
    c = math.log((node.visits + pb_c_base + 1) / pb_c_base) + pb_c_init
    explore = c * math.sqrt(node.visits)
    best, best_ucb = None, -math.inf
    if node.visits:  # on the way that expanded it a node is not drawn from twice
        unseen = chance_of_unseen(node)
        # the PRM says nothing of the bare question: there the best first step stands for it
        score = node.score if node.parent is not None else max(child.score for child in children)
        best_ucb = unseen * score + explore * unseen / (1 + node.draws)
    for child in children:
        if child in closed:
            continue
        q = (child.score + child.value_sum) / (1 + child.visits)
        ucb = q + explore * (child.count / node.samples) / (1 + child.visits)
        if ucb > best_ucb:
            best, best_ucb = child, ucb
    return best


def chance_of_unseen(node: Node) -> float:
    """Good-Turing estimate, smoothed, of the chance that the next sample is a step not seen here before."""
    return (sum(child.count == 1 for child in node.children.values()) + 1) / (node.samples + 1)


def back_up(leaf: Node, value: float) -> None:
    """Add `value` to the leaf and to all above it."""
    for node in leaf.lineage():
        node.visits += 1
        node.value_sum += value
