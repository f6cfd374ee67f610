"""Which steps of a solution are learnt, and what their scores should be.

hard   1 or 0 by the step's label (Lightman et al., 2023; Wang et al., 2024)
soft   the Monte Carlo value c / k of the step (Luo et al., 2024)
orm    the last step alone, by its label, which is the solution's outcome (Cobbe et al., 2021)
ovm    every step, by the outcome of the whole solution (Yu et al., 2024)

Of hard and soft labels those after the first wrong step are left out unless asked for: once the solution has gone
wrong, what its next step should be is not defined.
"""

from __future__ import annotations

from collections.abc import Callable

from data.preprocess.common import RIGHT, UNKNOWN
from prm.benchmarks.cases import Case

Targets = list[float | None]  # one a step; None: not learnt


def hard(case: Case) -> Targets:
    """The labels."""
    return [None if label == UNKNOWN else float(label == RIGHT) for label in case.labels]


def soft(case: Case) -> Targets:
    """The MC values; a step whose label was inferred without completions has none."""
    return list(case.values) if case.values is not None else [None] * len(case.steps)


def outcome(case: Case) -> float | None:
    """1.0 where the solution is right in the end, by the last step's label; None where that is not known."""
    return hard(case)[-1]


def orm(case: Case) -> Targets:
    """The outcome at the last step."""
    return [None] * (len(case.steps) - 1) + [outcome(case)]


def ovm(case: Case) -> Targets:
    """The outcome at every step."""
    return [outcome(case)] * len(case.steps)


KINDS: dict[str, Callable[[Case], Targets]] = {"hard": hard, "soft": soft, "orm": orm, "ovm": ovm}
OF_OUTCOMES = ("orm", "ovm")


def targets(case: Case, kind: str, after_first_error: bool = False) -> Targets:
    """The targets of a solution's steps, by `kind`."""
    found = KINDS[kind](case)
    if kind in OF_OUTCOMES or after_first_error:
        return found
    return [target if i in case.judged else None for i, target in enumerate(found)]
