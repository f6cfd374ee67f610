"""What PRMs are trained on: files of the common format (data/preprocess/common.py), or of OpenR's flat form.

A row that is neither, or whose labels and steps do not agree, is named with its file and line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from data.preprocess.common import STEP_TAG, LabelledSolution, encoded, from_openr
from prm.benchmarks.cases import Case, Skips, read
from prm.benchmarks.prm800k import reader as from_common
from reason.common.rows import BadRow, Row, field, text_field


def read_files(paths: Sequence[Path], step_tags: Sequence[str], skips: Skips, limit: int | None = None) -> list[Case]:
    """The solutions of all files, of each at most the first `limit`; `step_tags` are those of OpenR's flat form.

    Raises UserError: unreadable, a bad row, nothing of use.
    """
    tags = [tag for tag in dict.fromkeys([*step_tags, STEP_TAG]) if tag]

    def reader(row: Row) -> list[LabelledSolution]:
        return [solution_of(row, tags)]

    return [case for path in paths for case in read(path, reader, skips)[:limit]]


def solution_of(row: Row, step_tags: Sequence[str]) -> LabelledSolution:
    """One row of either format; MC values come from c and k where they are not there. Raises BadRow."""
    if "process" in row:
        process = field(row, "process", str)
        if not process.strip():
            raise BadRow("process", "is empty")
        solution = from_openr(row, next((tag for tag in step_tags if tag in process), step_tags[0]))
        for i, step in enumerate(solution.steps):
            text_field({"step": step}, "step", f"process, step {i + 1}: ")
        return solution
    if "labels" not in row or "steps" not in row:
        raise BadRow(
            "", "neither `steps` and `labels` nor OpenR's `process` and `label`: convert it with data/preprocess/cli.py"
        )
    (solution,) = from_common(row)
    if solution.values is None and solution.c is not None and solution.k is not None:
        pairs = list(zip(solution.c, solution.k, strict=True))
        for i, (c, k) in enumerate(pairs):
            if None not in (c, k) and not (type(c) is type(k) is int and 0 <= c <= k):
                raise BadRow(f"c[{i}]", f"{c!r} correct completions of {k!r} cannot be")
        solution = replace(solution, values=[c / k if k and c is not None else None for c, k in pairs])
    return solution


def digest(cases: Iterable[Case]) -> str:
    """SHA-256 over all that is learnt from, in order: a training is resumed on the same data or not at all."""
    found = hashlib.sha256()
    for case in cases:
        found.update(encoded(json.dumps([case.question, case.steps, case.labels, case.values]) + "\n"))
    return found.hexdigest()
