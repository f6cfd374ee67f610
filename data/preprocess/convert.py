"""A file of a public format to the common format or to OpenR's flat form: streaming, in order, whole or not at all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data.preprocess import math_aps, math_shepherd, prm800k, processbench
from data.preprocess.common import RIGHT, UNKNOWN, WRONG, LabelledSolution, ReadingOptions, encoded, from_openr
from reason.common.errors import UserError
from reason.common.files import whole_file
from reason.common.rows import BadRow, Row, place, rows

Reader = Callable[[Row, ReadingOptions], Iterable[LabelledSolution]]  # raises BadRow

READERS: dict[str, Reader] = {  # by the names that the command line knows
    "prm800k": prm800k.read,
    "math-aps": math_aps.read_flat,
    "math-aps-tree": math_aps.read_tree,
    "math-shepherd": math_shepherd.read,
    "omegaprm": math_aps.read_omegaprm,
    "processbench": processbench.read,
    "openr": lambda row, options: [from_openr(row, options.step_tag)],  # what OpenR's converters wrote
}

SHOWN = 5  # bad rows of a file that are told one by one


@dataclass
class Shape:
    """How solutions are written."""

    openr: bool = False  # OpenR's flat form, a JSON list, instead of JSONL of the common format
    add_step_prefix: bool = False  # "Step 1: " and so on before each step
    label_once: bool = False  # a step that several solutions of a row share is labelled in the first of them alone
    skip_bad_rows: bool = False


@dataclass
class Counts:
    """What came of a file."""

    rows: int = 0
    bad: list[str] = field(default_factory=list)  # the first few bad rows
    bad_rows: int = 0
    solutions: int = 0
    labels: Counter[int] = field(default_factory=Counter)  # of the solutions; OpenR's form may leave some out
    notes: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """The summary."""
        names = ((RIGHT, "right"), (WRONG, "wrong"), (UNKNOWN, "without a label"))
        steps = ", ".join(f"{self.labels[label]} {name}" for label, name in names)
        yield f"{self.rows} rows, {self.solutions} solutions, {self.labels.total()} steps: {steps}"
        yield from (f"{number} {what}" for what, number in self.notes.items() if number)
        if self.bad_rows:
            yield f"{self.bad_rows} bad rows skipped"


def convert(path: Path, out: Path, name: str, options: ReadingOptions, shape: Shape) -> Counts:
    """Write `out` from `path`; `name` is its format, and the source of its solutions.

    Raises UserError, and then `out` is untouched.
    """
    counts = Counts(notes=options.notes)
    with whole_file(out) as file:
        separator = b"[\n" if shape.openr else b""
        for line, row in rows(path):
            counts.rows += 1
            try:
                texts = _texts(row, line, path.stem, name, options, shape, counts)
            except BadRow as error:
                message = f"{place(path, line)}: {error}"
                if not shape.skip_bad_rows:
                    raise UserError(f"{message} (--skip-bad-rows goes on)") from None
                counts.bad_rows += 1
                counts.bad += [message] if counts.bad_rows <= SHOWN else []
                continue
            for text in texts:
                file.write(separator + encoded(text))
                separator = b",\n" if shape.openr else b"\n"
        if not counts.solutions:
            _refuse(path, counts)
        file.write(b"\n]\n" if shape.openr else b"\n")
    return counts


def _texts(
    row: Row | BadRow, line: int, stem: str, name: str, options: ReadingOptions, shape: Shape, counts: Counts
) -> list[str]:
    """What a row is written as; a bad row raises BadRow before anything of it is counted or written."""
    if isinstance(row, BadRow):
        raise row
    before = Counter(options.notes)
    try:
        solutions = list(READERS[name](row, options))
        if shape.label_once:
            _label_once(solutions)
        texts = []
        for number, solution in enumerate(solutions):
            if shape.add_step_prefix:
                solution.steps = [f"Step {i}: {step}" for i, step in enumerate(solution.steps, 1)]
            solution.source = name
            solution.id = solution.id or f"{stem}:{line}:{number}"
            flat = solution.to_openr(options.step_tag) if shape.openr else None
            if flat is not None:
                options.notes["steps left out behind one without a label"] += len(solution.steps) - len(flat["label"])
                texts.append(json.dumps(flat, ensure_ascii=False))
            elif shape.openr:
                options.notes["solutions whose first step has no label left out"] += 1
            else:
                texts.append(solution.to_json())
    except BadRow:
        options.notes.clear()
        options.notes.update(before)
        raise
    options.notes["rows without a step"] += not solutions
    counts.solutions += len(texts)
    for solution in solutions:
        counts.labels.update(solution.labels)
    return texts


def _label_once(solutions: list[LabelledSolution]) -> None:
    """Set the label of a step to UNKNOWN where an earlier solution has the same step after the same steps."""
    numbers: dict[tuple[int, str, int], int] = {}  # (the step before, text, label) -> a number for this step
    for solution in solutions:
        node = 0
        for i, (step, label) in enumerate(zip(solution.steps, solution.labels)):
            key = (node, step, label)
            if key in numbers:
                solution.labels[i] = UNKNOWN
            node = numbers.setdefault(key, len(numbers) + 1)


def _refuse(path: Path, counts: Counts) -> None:
    """Say why there is nothing to write."""
    if counts.bad_rows:
        raise UserError(f"all {counts.bad_rows} rows are bad, is it another format? {counts.bad[0]}")
    raise UserError(f"{path}: holds no labelled steps" if counts.rows else f"{path}: holds no rows")
