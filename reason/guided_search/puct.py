"""Selection and back-up of Monte Carlo tree search: PUCT (Silver et al., 2017; Rosin, 2011) over an LM's samples.

A language model has no fixed set of actions, so at every node one more candidate stands beside its children:
to draw again. Its prior and its value are those of an unseen step, weighed by the chance that a draw is unseen
(Good-Turing: steps seen once over all draws). So draws go where the prefix is good and what follows it is not.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from reason.guided_search.tree import Node


@dataclass(frozen=True)
class Rules:
    """What can be chosen of a tree search beside its constants; see SearchOptions."""

    prior: str = "count"
    first_play: float | None = None
    back_up: str = "mean"
    rollout: str = "value"
    leaves_in_flight: int = 1


def select(
    node: Node, closed: Collection[Node], pb_c_base: float, pb_c_init: float, rules: Rules = Rules()
) -> Node | None:
    """The child of greatest Q + c P sqrt(N_parent) / (1 + N), c = ln((N_parent + base + 1) / base) + init.

    N counts a virtual visit for each walk that is on its way below. None: draw again.
    """
    if not node.children:
        return None
    children = node.children.values()
    n_parent = node.visits + node.virtual
    c = math.log((n_parent + pb_c_base + 1) / pb_c_base) + pb_c_init
    explore = c * math.sqrt(n_parent)
    best, best_ucb = None, -math.inf
    if n_parent:  # on the way that expanded it a node is not drawn from twice
        unseen = chance_of_unseen(node)
        # the PRM says nothing of the bare question: there the best first step stands for it
        score = node.score if node.parent is not None else max(child.score for child in children)
        best_ucb = unseen * score + explore * unseen / (1 + node.draws)
    priors = shares(node, rules.prior)
    for child in children:
        if child in closed:
            continue
        n = child.visits + child.virtual
        ucb = value(child, rules) + explore * priors[child] / (1 + n)
        if ucb > best_ucb:
            best, best_ucb = child, ucb
    return best


def value(child: Node, rules: Rules) -> float:
    """Q: mean or greatest of the values backed up; a virtual visit is one of value 0 (virtual loss).

    The value of a child that was not visited is its own PRM score, which the mean goes on counting as one of the
    values, or the constant `first_play`.
    """
    n, virtual = child.visits, child.virtual
    if rules.back_up == "max":
        first = child.score if rules.first_play is None else rules.first_play
        return (child.value_max if n else first) * (1 + n) / (1 + n + virtual)
    if rules.first_play is None:
        return (child.score + child.value_sum) / (1 + n + virtual)
    return child.value_sum / (n + virtual) if n + virtual else rules.first_play


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


def back_up(leaf: Node, value: float) -> None:
    """Add `value` to the leaf and to all above it."""
    for node in leaf.lineage():
        node.visits += 1
        node.value_sum += value
        node.value_max = max(node.value_max, value)
