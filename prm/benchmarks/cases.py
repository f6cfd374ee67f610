"""What a PRM is judged on: solutions whose steps have labels, each with the place it was read from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.preprocess.common import WRONG, LabelledSolution, encoded
from reason.common.errors import UserError
from reason.common.rows import BadRow, Row, place, rows

Figures = dict[str, Any]  # a row of a table of results, by the names of its figures
Reader = Callable[[Row], Iterable[LabelledSolution]]  # raises BadRow


@dataclass(frozen=True)
class Case:
    """One solution. `labels` holds RIGHT, WRONG or UNKNOWN for each step, `values` MC values where there are any."""

    place: str  # file and line
    id: str
    question: str
    steps: tuple[str, ...]
    labels: tuple[int, ...]
    values: tuple[float | None, ...] | None = None

    @property
    def first_error(self) -> int | None:
        """Index of the first wrong step; None: no step is wrong."""
        return self.labels.index(WRONG) if WRONG in self.labels else None

    @property
    def judged(self) -> range:
        """The steps up to and including the first error: what follows it has no truth that a PRM could be held to."""
        return range(len(self.steps) if self.first_error is None else self.first_error + 1)


@dataclass
class ScoredCases:
    """Cases with a scorer's score of each step, under the name that stands in the tables."""

    name: str
    cases: list[Case]
    scores: list[list[float]]


@dataclass
class Skips:
    """Rows that are left out. Unless they are allowed, the first one is an error."""

    allowed: bool = False
    messages: list[str] = field(default_factory=list)

    def add(self, where: str, problem: object) -> None:
        """Count a row. Raises UserError when none may be skipped."""
        message = " ".join(f"{where}: {problem}".split())
        if not self.allowed:
            raise UserError(f"{message} (--skip_bad_rows goes on)")
        self.messages.append(message)


def case_of(solution: LabelledSolution, where: str) -> Case:
    """The case of a solution of the common format."""
    values = None if solution.values is None else tuple(solution.values)
    return Case(where, solution.id, solution.question, tuple(solution.steps), tuple(solution.labels), values)


def read(path: Path, reader: Reader, skips: Skips) -> list[Case]:
    """The cases of a JSONL file or JSON list. Raises UserError: unreadable, a bad row, nothing of use."""
    cases, count = [], 0
    for line, row in rows(path):
        count += 1
        try:
            if isinstance(row, BadRow):
                raise row
            cases += [case_of(solution, place(path, line)) for solution in reader(row)]
        except BadRow as error:
            skips.add(place(path, line), error)
    if not cases:
        raise UserError(
            f"{path}: " + (f"all {count} rows are bad, is it another format?" if count else "holds no rows")
        )
    return cases


def sha256(cases: Iterable[Case]) -> str:
    """Over questions, steps and labels, in order: two results with the same hash are of the same data."""
    digest = hashlib.sha256()
    for case in cases:
        digest.update(encoded(json.dumps([case.question, case.steps, case.labels]) + "\n"))
    return digest.hexdigest()


def halves(cases: Sequence[Case]) -> list[int]:
    """0 or 1 for each case, by its question, in turns: what is fitted on one half is measured on the other."""
    numbers: dict[str, int] = {}
    return [numbers.setdefault(case.question, len(numbers)) % 2 for case in cases]
