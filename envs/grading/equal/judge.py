"""The judge: two trees in, a verdict out, by the first rule that has something to say. `rules` holds them in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from envs.grading.equal.policy import Policy
from envs.grading.equal.quantities import hoist
from envs.grading.equal.relations import exact_part
from envs.grading.equal.words import meaning
from envs.grading.read.nodes import Node, Words


class Outcome(NamedTuple):
    """Whether the answers are equal, and which rule said so."""

    equal: bool
    path: str


Rule = Callable[[Node, Node, "Judge"], Outcome | None]  # gold, answer; None: the next rule's affair


@dataclass(frozen=True)
class Judge:
    """Rules in their order. Each method raises Undecided, TooCostly or Undefined."""

    policy: Policy
    as_written: Sequence[Rule]  # for what is no single value: words, lists, names with their values
    of_values: Sequence[Rule]  # for values whose units stand outside; the last one always decides

    def same(self, gold: Node, answer: Node) -> Outcome:
        """Compare two trees."""
        gold, answer = _meant(gold), _meant(answer)
        if gold == answer:
            return Outcome(True, "equal form")
        return self._first(self.as_written, gold, answer) or self.same_values(gold, answer)

    def same_values(self, gold: Node, answer: Node) -> Outcome:
        """Compare two trees that are neither words nor lists, nor names with their values."""
        outcome = self._first(self.of_values, hoist(gold), hoist(answer))
        assert outcome is not None
        return outcome

    def _first(self, rules: Sequence[Rule], gold: Node, answer: Node) -> Outcome | None:
        return next((outcome for rule in rules if (outcome := rule(gold, answer, self)) is not None), None)

    def ordered(self, left: Sequence[Node], right: Sequence[Node]) -> bool:
        """Whether both have equal items in the same order."""
        return len(left) == len(right) and all(self.same(a, b).equal for a, b in zip(left, right, strict=True))

    def unordered(self, left: Sequence[Node], right: Sequence[Node], distinct: bool = False) -> bool:
        """Whether each item has its partner; with `distinct`, repeated items count once."""
        if distinct:
            left, right = self._distinct(left), self._distinct(right)
        if len(left) != len(right):
            return False
        rest = list(right)
        for item in left:
            partner = next((index for index, other in enumerate(rest) if self._equal(item, other)), None)
            if partner is None:
                return False
            del rest[partner]
        return True

    def _distinct(self, items: Sequence[Node]) -> list[Node]:
        kept: list[Node] = []
        for item in items:
            if not any(self._equal(item, other) for other in kept):
                kept.append(item)
        return kept

    def _equal(self, left: Node, right: Node) -> bool:
        return left == right or self.same(left, right).equal


def _meant(node: Node) -> Node:
    """Without approximations; words as what they mean in mathematics."""
    node = exact_part(node)
    return meaning(node) if isinstance(node, Words) else node
