"""Rows of `label_steps` in the common format of data/preprocess: `python -m train.tiny.common_rows IN.jsonl OUT.jsonl`.

The Monte Carlo labels and values of the steps that were decided; those behind have none, but for the last step of a
solution, which is graded: it is wrong unless its label says that it is right.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from data.preprocess.common import RIGHT, UNKNOWN, WRONG, LabelledSolution, encoded
from reason.common.command import Parser, run_command
from reason.common.files import whole_file
from reason.common.rows import Row, checked_rows


def solution(row: Row) -> LabelledSolution:
    """One row."""
    steps = [step.strip() for step in row["steps"]]
    missing = len(steps) - len(row["labels"])
    labels = row["labels"] + [UNKNOWN] * missing
    values = [c / k for c, k in zip(row["c"], row["k"], strict=True)] + [None] * missing
    labels[-1], values[-1] = (RIGHT, 1.0) if labels[-1] == RIGHT else (WRONG, 0.0)
    return LabelledSolution(row["question"], steps, labels, values, source="monte_carlo", id=row["id"])


def convert(source: Path, out: Path) -> None:
    """Write the rows of `source` in the common format. Raises UserError."""
    with whole_file(out) as file:
        for _, row in checked_rows(source):
            file.write(encoded(solution(row).to_json() + "\n"))


def main() -> int:
    """The command; returns its exit status."""
    p = Parser(prog="common_rows.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("source", type=Path)
    p.add_argument("out", type=Path)
    args = p.parse_args()
    return run_command(p.prog, lambda: convert(args.source, args.out))


if __name__ == "__main__":
    sys.exit(main())
