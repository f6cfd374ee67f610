"""A finished search tree, to look at: steps, scores and visits, without what the search needed to grow it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from reason.guided_search.node import Node, Visits
from reason.guided_search.solution import Solution
from reason.guided_search.tree import SearchTree

SHOWN = 40  # nodes of a drawing
STEP_CHARS = 72  # of a step in a drawing


@dataclass(frozen=True)
class TreeView:
    """A step of a search tree, with those that follow it. Several roots hang below one without text."""

    node: Node
    scored: bool  # whether a PRM guided the search
    all_visits: Mapping[Node, Visits]

    @property
    def step(self) -> str:
        """The step's text; empty at the root, and for an end of text that came without text."""
        return self.node.step

    @property
    def score(self) -> float | None:
        """What the PRM says of the step; None at the root, and without a PRM."""
        return self.node.score if self.scored and self.node.step else None

    @property
    def count(self) -> int:
        """How many of the samples drawn at the step before were this one."""
        return self.node.count

    @property
    def visits(self) -> int:
        """Simulations of MCTS that came by; 0 for other methods."""
        return self.all_visits[self.node].count if self.node in self.all_visits else 0

    @property
    def finish_reason(self) -> str | None:
        """ "stop" or "length" where a solution ends here."""
        return self.node.finish_reason

    @property
    def children(self) -> tuple[TreeView, ...]:
        """The steps that were sampled after this one, in order of their first appearance."""
        return tuple(TreeView(child, self.scored, self.all_visits) for child in self.node.children.values())

    def walk(self) -> Iterator[tuple[int, TreeView]]:
        """(depth, step) of every step from here on, depth first."""
        waiting = [(0, self)]
        while waiting:
            depth, view = waiting.pop()
            yield depth, view
            waiting += [(depth + 1, child) for child in reversed(view.children)]

    def __len__(self) -> int:
        return sum(1 for _ in self.walk())

    def __str__(self) -> str:
        """A line a step, indented by its depth; the first SHOWN of them."""
        steps = [(depth, view) for depth, view in self.walk() if view.step or view.node.parent]
        top = min((depth for depth, _ in steps), default=0)
        lines = []
        for depth, view in steps[:SHOWN]:
            score = "" if view.score is None else f"{view.score:.3f}  "
            notes = [f"x{view.count}"] * (view.count > 1) + [f"{view.visits} visits"] * (view.visits > 0)
            notes += [f"[{view.finish_reason}]"] if view.finish_reason else []
            lines.append("  ".join(["  " * (depth - top) + score + _short(view.step), *notes]))
        return "\n".join(lines + [f"... {len(steps) - SHOWN} more"] * (len(steps) > SHOWN))

    def __repr__(self) -> str:
        return f"TreeView({_short(self.step)!r}, {len(self)} steps)"

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def printable(text: str) -> str:
    """A model's text on one line: no control character reaches a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _short(step: str) -> str:
    text = printable(step)
    return text if len(text) <= STEP_CHARS else text[: STEP_CHARS - 3] + "..."


def view_of(tree: SearchTree, solutions: Sequence[Solution]) -> TreeView:
    """The tree that a search has grown; of whole solutions that were sampled apart, the tree of their steps."""
    scored = tree.rm is not None
    if not tree.parts:
        return TreeView(tree.root if tree.root.children else _joined(solutions), scored, tree.visits)
    top, visits = Node(None, "", ()), dict[Node, Visits]()
    for number, part in enumerate(tree.parts):
        top.children |= {f"{number} {step}": child for step, child in part.root.children.items()}
        visits |= part.visits
    return TreeView(top, scored, visits)


def _joined(solutions: Sequence[Solution]) -> Node:
    """Solutions as one tree: equal beginnings are one path."""
    root = Node(None, "", ())
    for solution in solutions:
        node = root
        scores = solution.scores or [0.0] * len(solution.steps)
        for step, score in zip(solution.steps, scores, strict=True):
            if step in node.children:
                node.children[step].count += 1
            else:
                node.children[step] = Node(node, step, (*node.path, len(node.children)), score=score)
            node = node.children[step]
        node.finish_reason = solution.finish_reason
    return root
