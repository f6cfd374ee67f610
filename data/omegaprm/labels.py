"""From rollouts to labels: what is known of each prefix, and how it is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from data.omegaprm.search import SearchedSolution
from data.omegaprm.tree import Prefix, RolloutTree

ESTIMATED, INFERRED, GRADED = "estimated", "inferred", "graded"


@dataclass(frozen=True)
class Label:
    """The label of the last step of a prefix."""

    right: bool  # the hard label
    mc_value: float  # c/k; 1 or 0 where there is none
    kind: str  # estimated by rollouts from here, inferred from points before or behind, or graded as a whole solution
    source: str  # "omegaprm" or "all_steps": on a solution that was labelled; "rollout": on a right rollout
    c: int | None = None  # right ones
    k: int | None = None  # of these rollouts: made from here, or if inferred, made earlier and passing here


class Evidence:
    """What all rollouts of a tree say of the prefixes that they pass through."""

    def __init__(self, tree: RolloutTree) -> None:
        self.right: set[Prefix] = set()  # a right solution begins like this
        self.passed: dict[Prefix, tuple[int, int]] = {}  # (right ones, all) of the rollouts that wrote its last step
        for rollout in tree.rollouts():
            if rollout.cut:
                continue
            for n in range(1, len(rollout.steps)):
                prefix = rollout.steps[:n]
                if rollout.right:
                    self.right.add(prefix)
                if n > rollout.start:
                    c, k = self.passed.get(prefix, (0, 0))
                    self.passed[prefix] = (c + rollout.right, k + 1)


def collect(
    tree: RolloutTree, searched: Sequence[SearchedSolution], keep_right_rollouts: bool = True
) -> dict[Prefix, Label]:
    """The labels of the root, of the labelled solutions, and of every right rollout.

    Estimated: c of k rollouts from the prefix ended right. A prefix with c = 0 through which a right rollout passes
    after all counts that one, 1 of k + 1. Inferred: before a right prefix, right; after the first error, wrong
    (omegaprm only); c and k are then of rollouts from earlier points that pass here, fair samples of what follows but
    for the choice of the points. Graded: a whole solution. With the hard label c/k > 0.5 nothing can be inferred to be
    right.
    """
    evidence = Evidence(tree)
    labels: dict[Prefix, Label] = {(): _estimated(tree, evidence, (), tree.options.method)}
    for solution in searched:
        _label_path(tree, evidence, solution, labels)
    for rollout in tree.rollouts() if keep_right_rollouts else ():
        if rollout.right and rollout.steps and not rollout.cut:
            _label_right_rollout(tree, evidence, rollout.steps, labels)
    return labels


def counts(labels: dict[Prefix, Label]) -> dict[str, int]:
    """Labelled steps by kind, those on right rollouts apart; the root is no step."""
    kinds = Counter("rollout" if x.source == "rollout" else x.kind for prefix, x in labels.items() if prefix)
    return {name: kinds[name] for name in (ESTIMATED, INFERRED, GRADED, "rollout")}


def _label_path(tree: RolloutTree, evidence: Evidence, solution: SearchedSolution, labels: dict[Prefix, Label]) -> None:
    steps, method = solution.rollout.steps, tree.options.method
    for n in range(1, len(steps) + 1):
        prefix = steps[:n]
        if prefix in labels:
            continue
        if prefix in tree.points and tree.points[prefix].k:
            labels[prefix] = _estimated(tree, evidence, prefix, method)
        elif n == len(steps):
            labels[prefix] = _known(solution.rollout.right, GRADED, method)
        elif method == "omegaprm" and (n <= solution.right or prefix in evidence.right):
            _infer_right(tree, evidence, prefix, method, labels)
        elif method == "omegaprm" and solution.wrong is not None and n >= solution.wrong:
            labels[prefix] = _known(False, INFERRED, method)


def _label_right_rollout(tree: RolloutTree, evidence: Evidence, steps: Prefix, labels: dict[Prefix, Label]) -> None:
    labels.setdefault(steps, _known(True, GRADED, "rollout"))
    for n in range(1, len(steps)):
        prefix = steps[:n]
        if prefix in labels:
            continue
        if prefix in tree.points and tree.points[prefix].k:
            labels[prefix] = _estimated(tree, evidence, prefix, tree.options.method)
        else:
            _infer_right(tree, evidence, prefix, "rollout", labels)


def _infer_right(
    tree: RolloutTree, evidence: Evidence, prefix: Prefix, source: str, labels: dict[Prefix, Label]
) -> None:
    if tree.options.hard_label == "any":
        c, k = evidence.passed.get(prefix, (0, 0))
        known = _known(True, INFERRED, source)
        labels[prefix] = replace(known, mc_value=c / k, c=c, k=k) if c else known


def _estimated(tree: RolloutTree, evidence: Evidence, prefix: Prefix, source: str) -> Label:
    point = tree.points[prefix]
    lucky = point.c == 0 and prefix in evidence.right
    c, k = point.c + lucky, point.k + lucky
    right = c > 0 if tree.options.hard_label == "any" else c / k > 0.5
    return Label(right, c / k, ESTIMATED, source, c, k)


def _known(right: bool, kind: str, source: str) -> Label:
    return Label(right, float(right), kind, source)
