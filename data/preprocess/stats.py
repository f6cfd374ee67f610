"""What process supervision files hold: `python -m data.preprocess.stats FILE... [--against TEST_FILE...]`.

FILE is of the common format or of OpenR's flat form; the files are counted together. --against takes the same, and
files of problems with a field `question` or `problem`: it reports the questions that both sides have. Questions are
compared without case, spacing and LaTeX that only sets the type. Memory grows with the number of distinct solutions
and labelled steps, by about 100 bytes each; texts are not kept.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from data.preprocess.cli import tag
from data.preprocess.common import RIGHT, STEP_TAG, UNKNOWN, WRONG, LabelledSolution, encoded, from_openr, from_row
from reason.common.command import Parser, run_command
from reason.common.errors import UserError
from reason.common.rows import BadRow, checked_rows, text_field

SHOWN = 5  # leaked questions that are named
FRACTION = re.compile(r"\\[dt]frac")
TYPESETTING = re.compile(r"\\left|\\right|\\[,;:!()\[\]]|[\\]?\s|[$~]")
PERCENTS = (50, 95, 100)

Report = dict[str, Any]


def normalised(question: str) -> str:
    """A question without what two copies of it may differ in: case, spacing, typesetting, the last full stop."""
    text = unicodedata.normalize("NFKC", question).casefold()
    return TYPESETTING.sub("", FRACTION.sub(r"\\frac", text)).rstrip(".?!:")


@dataclass
class Statistics:
    """Counts over solutions; `add` takes one after the other."""

    labels: Counter[int] = field(default_factory=Counter)
    distinct: Counter[int] = field(default_factory=Counter)  # labels of steps that differ in text or in what is before
    sources: Counter[str] = field(default_factory=Counter)
    steps: Counter[int] = field(default_factory=Counter)  # steps of a solution -> solutions
    characters: Counter[int] = field(default_factory=Counter)  # characters of a step -> steps
    with_error: int = 0  # solutions
    values: Counter[str] = field(default_factory=Counter)
    repeated: int = 0  # solutions whose question and steps were there before
    contradicting: int = 0  # of those, with other labels than at first
    questions: set[bytes] = field(default_factory=set)
    _solutions: dict[bytes, tuple[int, ...]] = field(default_factory=dict)
    _steps: set[bytes] = field(default_factory=set)

    def add(self, solution: LabelledSolution) -> None:
        """Count one solution."""
        text = blake2b(encoded(normalised(solution.question)), digest_size=8)
        self.questions.add(text.digest())
        self.sources[solution.source or "OpenR's flat form"] += 1
        self.labels.update(solution.labels)
        self.steps[len(solution.steps)] += 1
        self.characters.update(map(len, solution.steps))
        self.with_error += WRONG in solution.labels
        known = [value for value in solution.values or () if value is not None]
        self.values.update("0" if value == 0 else "1" if value == 1 else "between" for value in known)
        for step, label in zip(solution.steps, solution.labels):
            text.update(b"\0" + encoded(step))
            if label != UNKNOWN and text.digest() not in self._steps:
                self._steps.add(text.digest())
                self.distinct[label] += 1
        labels = tuple(solution.labels)
        first = self._solutions.setdefault(text.digest(), labels)
        self.repeated += first is not labels
        self.contradicting += first != labels

    def report(self) -> Report:
        """Plain numbers; shares are of labelled steps, and of solutions."""
        solutions = self.steps.total()
        return {
            "solutions": solutions,
            "by_source": dict(sorted(self.sources.items())),
            "questions": len(self.questions),
            "steps": self.labels.total(),
            "labels": _balance(self.labels),
            "labels_of_distinct_steps": _balance(self.distinct),
            "steps_without_a_label": self.labels[UNKNOWN],
            "solutions_with_an_error": self.with_error,
            "steps_a_solution": _percentiles(self.steps),
            "characters_a_step": _percentiles(self.characters),
            "mc_values": {name: self.values[name] for name in ("0", "between", "1")} if self.values else None,
            "repeated_solutions": self.repeated,
            "repeated_with_other_labels": self.contradicting,
        }


def _balance(labels: Counter[int]) -> Report:
    right, wrong = labels[RIGHT], labels[WRONG]
    return {"right": right, "wrong": wrong, "share_right": round(right / (right + wrong), 4) if right + wrong else None}


def _percentiles(counts: Counter[int]) -> Report:
    """The smallest number that at least p % of the counted do not exceed; 100 is the maximum."""
    percentiles: Report = {}
    total, seen = counts.total(), 0
    for number in sorted(counts):
        seen += counts[number]
        reached = [f"p{p}" for p in PERCENTS if seen * 100 >= p * total]
        percentiles = dict.fromkeys(reached, number) | percentiles
    return percentiles


def solutions(path: Path, step_tag: str) -> Iterator[LabelledSolution]:
    """The solutions of a file of either form. Raises UserError."""
    for where, row in checked_rows(path):
        try:
            if "process" not in row and "steps" not in row:
                raise BadRow("", "neither `steps` (common format) nor `process` (OpenR's) is there; convert it first")
            yield from_openr(row, step_tag) if "process" in row else from_row(row)
        except BadRow as error:
            raise UserError(f"{where}: {error}") from None


def questions(path: Path) -> Iterator[tuple[str, str]]:
    """(place, question) for each row of any file that has them. Raises UserError."""
    for where, row in checked_rows(path):
        try:
            yield where, text_field(row, "question" if "question" in row else "problem")
        except BadRow as error:
            raise UserError(f"{where}: {error}") from None


def leakage(counted: set[bytes], against: list[Path]) -> Report:
    """The distinct questions of `against` that were counted too, the first few by their place."""
    seen: set[bytes] = set()
    leaked, shown = 0, list[str]()
    for path in against:
        for where, question in questions(path):
            key = blake2b(encoded(normalised(question)), digest_size=8).digest()
            if key not in seen:
                seen.add(key)
                if key in counted:
                    leaked += 1
                    shown += [f"{where}: {question[:80]!r}"] if len(shown) < SHOWN else []
    share = round(leaked / len(seen), 4) if seen else None
    return {"questions": len(seen), "also_in_files": leaked, "share": share, "first": shown}


def lines(report: Report) -> Iterator[str]:
    """The report as text."""
    for name, value in report.items():
        if isinstance(value, dict):
            first = value.get("first", [])
            value = ", ".join(f"{k} {v}" for k, v in value.items() if k != "first")
        else:
            first = []
        yield f"{name.replace('_', ' '):<28} {'-' if value is None else value}"
        yield from (f"  {text}" for text in first)


def run(args: argparse.Namespace) -> None:
    """Count, and print the report. Raises UserError."""
    counted = Statistics()
    for path in args.files:
        for solution in solutions(path, args.step_tag):
            counted.add(solution)
    report = counted.report()
    if args.against:
        report["against"] = leakage(counted.questions, args.against)
    print(json.dumps(report, indent=2, ensure_ascii=False) if args.json else "\n".join(lines(report)))


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    p = Parser(prog="stats.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("files", nargs="+", type=Path, metavar="FILE")
    p.add_argument("--against", nargs="+", type=Path, metavar="FILE", default=[], help="report questions in both")
    p.add_argument("-t", "--step-tag", type=tag, default=STEP_TAG, help="of OpenR's flat form; default five times \\n")
    p.add_argument("--json", action="store_true", help="print JSON instead of text")
    args = p.parse_args(arguments)
    return run_command(p.prog, lambda: run(args))


if __name__ == "__main__":
    sys.exit(main())
