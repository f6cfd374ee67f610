"""Step labels such as PRM800K's (Lightman et al., 2023): AUC, accuracy and calibration on labelled steps."""

from __future__ import annotations

import argparse
from pathlib import Path

from data.preprocess.common import UNKNOWN, LabelledSolution, from_row
from prm.benchmarks import steps
from prm.benchmarks.cases import Figures, ScoredCases, Skips, read
from prm.benchmarks.report import BenchmarkResult
from prm.benchmarks.scoring import opened, score
from reason.common.errors import UserError
from reason.common.rows import BadRow, Row, text_field


async def run(args: argparse.Namespace) -> BenchmarkResult:
    """Score files of the common format, each a row. Raises UserError."""
    skips = Skips(args.skip_bad_rows)
    files = [(path, read(path, reader, skips)) for path in args.data_path]
    for path, cases in files:
        if all(case.labels[i] == UNKNOWN for case in cases for i in case.judged):
            raise UserError(f"{path}: holds no labelled steps")
    async with opened(args) as prm:
        scored = [await score(prm, cases[: args.limit], args.num_worker, skips, path.stem) for path, cases in files]
    rows = [steps.figures(subset, {"0.5": 0.5} | args.threshold) for subset in scored]
    notes = notes_of(scored, rows)
    if args.limit is not None:
        notes.append(f"Only the first {args.limit} solutions of each file.")

    def draw(out: Path) -> list[Path]:
        from prm.benchmarks import plots

        return plots.reliability(rows, out) + plots.histograms(scored, out)

    return BenchmarkResult("prm800k", prm, {"steps": rows}, draw, scored, skips, notes)


def reader(row: Row) -> list[LabelledSolution]:
    """A row of the common format. Raises BadRow, which names the converter for rows of another."""
    if "labels" not in row or "steps" not in row:
        raise BadRow(
            "", "`steps` and `labels` of the common format are needed: convert the file with data/preprocess/cli.py"
        )
    solution = from_row(row)
    for i, step in enumerate(solution.steps):
        text_field({"step": step}, "step", f"steps[{i}].")
    for i, value in enumerate(solution.values or ()):
        if value is not None and (type(value) not in (int, float) or not 0 <= value <= 1):
            raise BadRow(f"values[{i}]", f"a number from 0 to 1 or null is needed, not {value!r}")
    return [solution]


def notes_of(scored: list[ScoredCases], rows: list[Figures]) -> list[str]:
    """What is in no figure, and why."""
    notes = []
    for subset, row in zip(scored, rows, strict=True):
        judged = sum(len(case.judged) for case in subset.cases)
        after = sum(len(case.steps) for case in subset.cases) - judged
        unknown = sum(case.labels[i] == UNKNOWN for case in subset.cases for i in case.judged)
        notes.append(
            f"{subset.name}: not counted are {after} steps behind the first error of their solution, {unknown} without "
            f"a label, {row['repeated_steps']} that an earlier solution shares."
        )
    return notes + no_calibration(rows)


def no_calibration(rows: list[Figures]) -> list[str]:
    """Why there is no ECE."""
    return ["No calibration: the scores are not in [0, 1]."] if any(row["reliability"] is None for row in rows) else []
