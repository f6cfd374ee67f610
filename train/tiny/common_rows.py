"""Rows of `label_steps` in the common format of data/preprocess: `python -m train.tiny.common_rows IN.jsonl OUT.jsonl`.

The Monte Carlo labels and values of the steps that were decided; those behind have none, but for the last step of a
solution, which is graded: it is wrong unless its label says that it is right.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.preprocess.common import RIGHT, UNKNOWN, WRONG, LabelledSolution


def solution(row: Mapping[str, Any]) -> LabelledSolution:
    """One row."""
    steps = [step.strip() for step in row["steps"]]
    missing = len(steps) - len(row["labels"])
    labels = row["labels"] + [UNKNOWN] * missing
    values = [c / k for c, k in zip(row["c"], row["k"], strict=True)] + [None] * missing
    labels[-1], values[-1] = (RIGHT, 1.0) if labels[-1] == RIGHT else (WRONG, 0.0)
    return LabelledSolution(row["question"], steps, labels, values, source="monte_carlo", id=row["id"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    with args.source.open(encoding="utf-8") as source, args.out.open("w", encoding="utf-8") as out:
        for line in source:
            out.write(solution(json.loads(line)).to_json() + "\n")


if __name__ == "__main__":
    main()
