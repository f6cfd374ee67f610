"""PRMs side by side, from folders of prm/evaluate.py: `python -m prm.prm_table [NAME=]DIR... [--markdown]`.

A row a PRM: AUC and ECE of its steps, F1 of the first error at the threshold that the other half of the data chose,
and what its card's vote makes of a best-of-N run, at the largest N. Folders with the same name, or the same PRM where
none is given, share a row. Exit status 0, or 2 for bad input (one line).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prm.benchmarks.report import show
from reason.common.command import Parser, run_command
from reason.common.errors import UserError
from reason.common.files import read_json
from reason.evaluation.compare import layout

PROG = "prm_table.py"
FIGURES = ("AUC", "F1", "ECE")
BASELINE = "baseline: "


def figures(result: dict[str, Any], name: str) -> Iterator[tuple[str, str, str]]:
    """(row, column, text) of everything that one result has to say; `name` is the row of its PRM. Raises KeyError."""
    own = result["PRM"]["name"]

    def of(row: dict[str, Any]) -> str:
        if row["name"].startswith(BASELINE):
            return row["name"]
        # processbench and prm800k call a row by its subset alone
        return name if row["name"] == own else f"{name}, {row['name'].removeprefix(f'{own}, ')}"

    for row in result.get("steps", []):
        yield from ((of(row), column, show(row, key)) for column, key in (("AUC", "auc"), ("ECE", "ece")))
    for row in result.get("first_error", []):
        if row["threshold_name"] == "best on the other half":
            yield of(row), "F1", show(row, "f1")
    curve = result.get("curve", [])
    most = max((row["budget"] for row in curve), default=0)
    vote = f"prm_{result['PRM']['card']['aggregation']}_vote" if curve else ""
    for row in curve:
        if row["budget"] == most and row["name"] == vote:
            yield name, f"best of {most}", show(row, "accuracy")


def table(folders: list[str]) -> list[list[str]]:
    """Cells, the titles first. Raises UserError."""
    rows: dict[str, dict[str, str]] = {}
    for argument in folders:
        given, _, path = argument.rpartition("=")
        result = read_json(Path(path) / "result.json")
        try:
            for name, column, text in figures(result, given or result["PRM"]["name"]):
                rows.setdefault(name, {})[column] = text
        except (KeyError, TypeError):
            raise UserError(f"{path}: result.json is not of prm/evaluate.py") from None
    present = dict.fromkeys(column for row in rows.values() for column in row)
    columns = [c for c in FIGURES if c in present] + [c for c in present if c not in FIGURES]
    ordered = sorted(rows, key=lambda name: name.startswith(BASELINE))
    return [["PRM", *columns], *([name, *(rows[name].get(c, "-") for c in columns)] for name in ordered)]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    p = Parser(prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folders", nargs="+", metavar="[NAME=]DIR")
    p.add_argument("--markdown", action="store_true", help="print a Markdown table")
    args = p.parse_args(arguments)
    return run_command(PROG, lambda: print(layout(table(args.folders), args.markdown)))


if __name__ == "__main__":
    sys.exit(main())
