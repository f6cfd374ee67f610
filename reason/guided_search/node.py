"""One prefix of a solution, and the prefixes that go on from it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from reason.inference.base import Sample


@dataclass
class Visits:
    """What walks of a Monte Carlo tree search left at one node."""

    count: int = 0
    value_sum: float = 0.0
    value_max: float = -math.inf
    virtual: int = 0  # walks that are on their way below the node


@dataclass(eq=False)
class Node:
    """A prefix of a solution: its parent's steps and one more."""

    parent: Node | None
    step: str
    path: tuple[int, ...]  # child indices from the root, behind a mark of its own where a tree was split
    num_tokens: int = 0  # of this step
    logprob: float = 0.0  # of this step, summed over its tokens, in the distribution sampled from
    finish_reason: str | None = None  # "stop" or "length" once finished
    score: float = 0.0  # the PRM's score of this step; 0 without a PRM
    scored: bool = False
    draws: int = 0  # times this node was expanded
    samples: int = 0  # continuations drawn here in total
    count: int = 1  # how many of the parent's samples were this step
    children: dict[str, Node] = field(default_factory=dict)
    depth: int = field(init=False)  # number of steps

    def __post_init__(self) -> None:
        self.depth = 0 if self.parent is None else self.parent.depth + 1

    @property
    def finished(self) -> bool:
        """Whether nothing can follow: the model ended its text, or a limit was reached."""
        return self.finish_reason is not None

    def lineage(self) -> list[Node]:
        """Root first, this node last."""
        nodes: list[Node] = [self]
        while nodes[-1].parent is not None:
            nodes.append(nodes[-1].parent)
        return nodes[::-1]

    def steps(self) -> list[str]:
        """Texts of the steps so far. An end of text that came without text is no step."""
        return [node.step for node in self.lineage()[1:] if node.step]

    def scores(self) -> list[float]:
        """The PRM's scores of `steps()`."""
        return [node.score for node in self.lineage()[1:] if node.step]

    def holds(self, steps: Iterable[str]) -> bool:
        """Whether these steps hang below this node."""
        node = self
        for step in steps:
            if step not in node.children:
                return False
            node = node.children[step]
        return True

    def attach(self, steps: Sequence[str], sample: Sample) -> tuple[Node, int]:
        """Hang a sample's steps below this node, merging with equal ones; returns the last, and how many are new.

        Tokens and log-probability of a sample of several steps are spread evenly over them.
        """
        node, new = self, 0
        for i, step in enumerate(steps):
            node.samples += 1
            child = node.children.get(step)
            if child is not None:
                child.count += 1
            else:
                tokens = sample.num_tokens * (i + 1) // len(steps) - sample.num_tokens * i // len(steps)
                child = Node(node, step, (*node.path, len(node.children)), tokens, sample.logprob / len(steps))
                node.children[step] = child
                new += 1
            node = child
        return node, new
