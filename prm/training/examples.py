"""Solutions as tokens, with the positions where `prm.scoring` reads their scores: both come from its layout."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from prm.benchmarks.cases import Case, Skips
from prm.scoring.layout import Layouter, LayoutError
from prm.training.targets import OF_OUTCOMES, targets
from reason.common.errors import UserError
from train.core.plan import Example


@dataclass(frozen=True)
class Weights:
    """How much right and wrong steps count in the loss; a soft target is a mixture of the two."""

    right: float = 1.0
    wrong: float = 1.0

    def of(self, target: float) -> float:
        """The weight of a step."""
        return target * self.right + (1 - target) * self.wrong


def lay_out(
    cases: Sequence[Case], layouter: Layouter, kind: str, skips: Skips, after_first_error: bool = False
) -> list[Example]:
    """The examples of all solutions with a target, each of weight 1. An outcome model's solution may give several.

    A solution that cannot be laid out is a bad row. Raises UserError, also where nothing is left to learn.
    """
    found: list[Example] = []
    for case in cases:
        wanted = targets(case, kind, after_first_error)
        learnt = {i: target for i, target in enumerate(wanted) if target is not None}
        known = list(learnt)
        if not known:
            continue
        try:
            layout = layouter.lay_out(case.question, case.steps[: known[-1] + 1])
        except LayoutError as error:
            skips.add(case.place, error)
            continue
        if layout.parts:
            for i in known:
                part = layout.parts[i]
                found.append(Example(array("i", part.tokens), part.positions, (learnt[i],), (1.0,)))
        else:
            positions = tuple(layout.positions[i] for i in known)
            ids = array("i", layout.tokens[: positions[-1] + 1])
            found.append(Example(ids, positions, tuple(learnt.values()), (1.0,) * len(known)))
    if not found:
        what = {"soft": "MC value (`values`, or `c` and `k`)"} | dict.fromkeys(OF_OUTCOMES, "label of its last step")
        files = ", ".join(dict.fromkeys(case.place.partition(", line ")[0] for case in cases))
        raise UserError(f"{files}: nothing to learn: no solution has a {what.get(kind, 'labelled step')}")
    return found


def balanced(examples: Iterable[Example]) -> Weights:
    """Weights under which right and wrong steps count the same in sum. Raises UserError where one kind is missing."""
    flat = [target for example in examples for target in example.targets]
    right, wrong = sum(flat), len(flat) - sum(flat)
    if not right or not wrong:
        raise UserError(f"no balanced weights: all {len(flat)} steps are {'right' if right else 'wrong'}")
    return Weights(len(flat) / (2 * right), len(flat) / (2 * wrong))


def weighted(examples: Iterable[Example], weights: Weights) -> list[Example]:
    """The examples with these weights."""
    return [Example(e.ids, e.positions, e.targets, tuple(map(weights.of, e.targets))) for e in examples]
