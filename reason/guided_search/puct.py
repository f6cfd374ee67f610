"""Selection and back-up of Monte Carlo tree search: PUCT (Silver et al., 2017; Rosin, 2011) over an LM's samples.

A language model has no fixed set of actions, so at every node one more candidate stands beside its children:
to draw again. Its prior and its value are those of an unseen step, weighed by the chance that a draw is unseen
(Good-Turing: steps seen once over all draws). So draws go where the prefix is good and what follows it is not.
"""

from __future__ import annotations

import math
from abc import ABC
from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

from reason.common.options import option
from reason.guided_search.method import Method
from reason.guided_search.node import Node, Visits


@dataclass(frozen=True)
class MCTS(Method, ABC):
    """The options of every Monte Carlo tree search."""

    pb_c_init: float = option(1.25, "exploration constant of PUCT", least=0)
    pb_c_base: float = option(19652.0, "exploration constant of PUCT", above=0)
    prior: str = option(
        "count", "a child's share of the samples, or by its log-probability", choices=("count", "logprob")
    )
    first_play: float | None = option(None, "value of an unvisited child", metavar="Q", usual="its PRM score")
    back_up: str = option("mean", "of the values backed up", choices=("mean", "max"))
    leaves_in_flight: int = option(1, "walks of a tree at once", metavar="K", least=1)

    counts_steps: ClassVar[bool] = True


class Puct:
    """The visits of one tree, and what follows from them."""

    def __init__(self, options: MCTS) -> None:
        self.options = options
        self.visits: defaultdict[Node, Visits] = defaultdict(Visits)
        self.closed: set[Node] = set()  # nodes that are not to be walked to any more

    def select(self, node: Node) -> Node | None:
        """The child of greatest Q + c P sqrt(N_parent) / (1 + N), c = ln((N_parent + base + 1) / base) + init.

        N counts a virtual visit for each walk that is on its way below. None: draw again.
        """
        if not node.children:
            return None
        options, children = self.options, node.children.values()
        n_parent = self.visits[node].count + self.visits[node].virtual
        c = math.log((n_parent + options.pb_c_base + 1) / options.pb_c_base) + options.pb_c_init
        explore = c * math.sqrt(n_parent)
        best, best_ucb = None, -math.inf
        if n_parent:  # on the way that expanded it a node is not drawn from twice
            unseen = chance_of_unseen(node)
            # the PRM says nothing of the bare question: there the best first step stands for it
            score = node.score if node.parent is not None else max(child.score for child in children)
            best_ucb = unseen * score + explore * unseen / (1 + node.draws)
        priors = shares(node, options.prior)
        for child in children:
            if child in self.closed:
                continue
            n = self.visits[child].count + self.visits[child].virtual
            ucb = self.value(child) + explore * priors[child] / (1 + n)
            if ucb > best_ucb:
                best, best_ucb = child, ucb
        return best

    def value(self, child: Node) -> float:
        """Q: mean or greatest of the values backed up; a virtual visit is one of value 0 (virtual loss).

        The value of a child that was not visited is its own PRM score, which the mean goes on counting as one of the
        values, or the constant `first_play`.
        """
        visits, first_play = self.visits[child], self.options.first_play
        n, virtual = visits.count, visits.virtual
        if self.options.back_up == "max":
            first = child.score if first_play is None else first_play
            return (visits.value_max if n else first) * (1 + n) / (1 + n + virtual)
        if first_play is None:
            return (child.score + visits.value_sum) / (1 + n + virtual)
        return visits.value_sum / (n + virtual) if n + virtual else first_play

    def back_up(self, leaf: Node, value: float) -> None:
        """Add `value` to the leaf and to all above it."""
        for node in leaf.lineage():
            visits = self.visits[node]
            visits.count += 1
            visits.value_sum += value
            visits.value_max = max(visits.value_max, value)

    def add_virtual(self, leaf: Node, count: int) -> None:
        """Add virtual visits to a node and to all above it; a negative `count` takes them away."""
        for node in leaf.lineage():
            self.visits[node].virtual += count

    def most_visited(self, node: Node) -> Node:
        """The most visited child, the better scored of equals."""
        return max(node.children.values(), key=lambda child: (self.visits[child].count, child.score))


def shares(node: Node, prior: str) -> dict[Node, float]:
    """P: each child's share of the samples drawn here, or exp(log-probability) scaled to sum to 1."""
    children = list(node.children.values())
    if prior == "count":
        return {child: child.count / node.samples for child in children}
    greatest = max(child.logprob for child in children)
    powers = [math.exp(child.logprob - greatest) for child in children]
    return {child: power / sum(powers) for child, power in zip(children, powers, strict=True)}


def chance_of_unseen(node: Node) -> float:
    """Good-Turing estimate, smoothed, of the chance that the next sample is a step not seen here before."""
    return (sum(child.count == 1 for child in node.children.values()) + 1) / (node.samples + 1)
