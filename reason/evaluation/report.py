"""The scaling report: `python -m reason.evaluation.report RUN_DIR... --out DIR`.

One table of runs of any methods, scorers and budgets (printed, table.md, table.json) and curves of accuracy against
budget, tokens and seconds (PNG and SVG). Shards of a run are merged, seeds are averaged question by question, and the
smaller budgets of best-of-N are subsampled from its largest run. Exit status 0, or 2 for bad input (one line).
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reason.common.command import Parser, positive, run_command
from reason.common.errors import UserError
from reason.evaluation import stats
from reason.evaluation.compare import layout
from reason.evaluation.runs import Run, budget_of, choices, gaps, pool, read
from reason.evaluation.shards import merge
from reason.evaluation.subsample import subsample

if TYPE_CHECKING:
    from reason.evaluation.curves import CurvePoint


def rows_of(runs: list[Run]) -> list[CurvePoint]:
    """One flat row a run, sorted by scorer, method and budget. Tokens and seconds are means a question and seed."""
    rows = [_row(run, label) for run, label in zip(runs, labels(runs))]
    return sorted(rows, key=lambda r: (r["scorer"] != "-", r["LM"], r["scorer"], r["label"], r["budget"] or 0))


def _row(run: Run, label: str) -> CurvePoint:
    count = max(1, run.questions)
    row: CurvePoint = {
        "label": label,
        "method": run.config["method"],
        "LM": run.config["LM"],
        "scorer": run.config["RM"] or "-",
        "budget": budget_of(run.config),
        "subsampled_from": run.config["method_config"].get("subsampled_from"),
        "problems": len(run.results),
        "headline": None,
        "majority_vote": None,
        "coverage": None,
        "lm_tokens": run.ledger.generated_tokens / count,
        "prm_tokens": run.ledger.prm_tokens_computed / count,
        "seconds": run.seconds / count,
        "errors": run.errors,
        "runs": [str(folder) for folder in run.folders],
    }
    if run.results:
        results = list(run.results.values())
        row["headline"] = list(stats.bootstrap([result["headline"] for result in results]))
        row |= {name: stats.mean([result[name] for result in results]) for name in ("majority_vote", "coverage")}
    return row | {"all_tokens": row["lm_tokens"] + row["prm_tokens"]}


def curve_arguments(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments that are the same all along a curve."""
    spent = {"budget", "num_sequence"}
    if config["arguments"].get("budget") is None:
        spent.add("tree_max_width")  # beams x width is then the budget
    return {name: value for name, value in choices(config).items() if name not in spent}


def labels(runs: list[Run]) -> list[str]:
    """The name of each run's curve: its method, with those arguments in which runs of the method differ."""
    names = []
    for run in runs:
        mine = curve_arguments(run.config)
        same = [curve_arguments(other.config) for other in runs if other.config["method"] == run.config["method"]]
        different = [name for name in mine if any(name in other and other[name] != mine[name] for other in same)]
        names.append(" ".join([run.config["method"], *(f"{name}={mine[name]}" for name in different)]))
    return names


def with_subsampled(runs: list[Run], budgets: list[int] | None) -> list[Run]:
    """The runs, and best-of-N at the smaller budgets that have no run of their own, from the largest run of a curve.

    `budgets` of None are the powers of two.
    """
    curves: dict[str, list[Run]] = {}
    for run in runs:
        if run.config["method"] == "best_of_n":
            key = [curve_arguments(run.config), *(run.config[name] for name in ("LM", "RM", "dataset"))]
            curves.setdefault(json.dumps([key, run.config["gen_config"].get("seed")], sort_keys=True), []).append(run)
    every_run = list(runs)
    for curve in curves.values():
        largest = max(curve, key=lambda run: budget_of(run.config) or 0)
        most, there = budget_of(largest.config) or 0, {budget_of(run.config) for run in curve}
        wanted = [2**i for i in range(most.bit_length())] if budgets is None else budgets
        smaller = [budget for budget in sorted(set(wanted)) if budget < most and budget not in there]
        if smaller and largest.results:
            every_run += subsample(largest, smaller)
    return every_run


def notes_of(runs: list[Run], rows: list[CurvePoint]) -> list[str]:
    """What a reader of the table must know: runs that are not whole, other problems, what was not measured."""
    notes = [gap for run in runs for gap in gaps(run.name, run.config, run.questions, run.errors)]
    counts = Counter(run.config["dataset"].get("sha256") for run in runs)
    if len(counts) > 1:
        notes.append("The runs are not over the same problems, so their rows cannot be compared question by question.")
    if any(row["subsampled_from"] for row in rows):
        notes.append(
            "N (of M): subsampled from one run of M samples; its tokens and seconds (~) are N / M of that run's, the "
            "PRM's tokens and the seconds too low where many solutions have steps in common, computed once."
        )
    if any(row["budget"] is None and row["method"] != "cot" for row in rows):
        notes.append("A run without --budget whose flags do not give a budget is left out of the curve over budgets.")
    return notes


COLUMNS = ("method", "scorer", "budget", "problems", "accuracy [95 %]", "majority", "coverage", "LM tok/q", "PRM tok/q",
           "s/q", "errors")  # fmt: skip


def cells_of(row: CurvePoint) -> list[str]:
    """The row as the table shows it; accuracies in percent."""
    about = "~" if row["subsampled_from"] else ""
    budget = "-" if row["budget"] is None else str(row["budget"])
    budget += f" (of {row['subsampled_from']})" if row["subsampled_from"] else ""
    accuracy = "-"
    if row["headline"]:
        mean, low, high = (100 * value for value in row["headline"])
        accuracy = f"{mean:.1f} [{low:.1f}, {high:.1f}]"
    shares = ["-" if row[name] is None else f"{100 * row[name]:.1f}" for name in ("majority_vote", "coverage")]
    costs = [f"{about}{row['lm_tokens']:.0f}", f"{about}{row['prm_tokens']:.0f}", f"{about}{row['seconds']:.3g}"]
    return [row["label"], row["scorer"], budget, str(row["problems"]), accuracy, *shares, *costs, str(row["errors"])]


def report(folders: list[Path], out: Path, budgets: list[int] | None) -> None:
    """Read, print, write and draw. Raises UserError, and OSError where `out` cannot be written."""
    runs = merge([read(folder) for folder in folders])
    tasks = {run.config["dataset"]["task"]: run.name for run in reversed(runs)}
    if len(tasks) > 1:
        raise UserError(f"{' and '.join(tasks.values())} are of different tasks: report one task at a time")
    rows = rows_of(pool(with_subsampled(runs, budgets)))
    notes = notes_of(runs, rows)
    cells = [list(COLUMNS), *map(cells_of, rows)]
    print("\n".join([layout(cells, markdown=False), "", *notes] if notes else [layout(cells, markdown=False)]))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror}") from None
    markdown = [layout(cells, markdown=True), *(f"\n{note}" for note in notes)]
    (out / "table.md").write_text("\n".join(markdown) + "\n", encoding="utf-8")
    (out / "table.json").write_text(json.dumps({"rows": rows, "notes": notes}, indent=2) + "\n", encoding="utf-8")

    try:
        from reason.evaluation.curves import draw  # matplotlib takes a second, and only drawing needs it
    except ModuleNotFoundError as error:
        raise UserError(f"the table is written, but the curves need {error.name}: pip install it") from None

    print("\nWritten:", *[out / "table.md", out / "table.json", *draw(rows, out)], sep="\n    ")


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    p = Parser(prog="report.py", description="Accuracy against budget, tokens and seconds, as a table and as curves.")
    p.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR", help="folders of one task; all shards of a run")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="for table.md, table.json and the curves")
    p.add_argument(
        "--budgets", nargs="+", type=positive, metavar="N",
        help="at which best-of-N is subsampled from its largest run; default: powers of two",
    )  # fmt: skip
    args = p.parse_args(arguments)
    return run_command("report.py", lambda: report(args.runs, args.out, args.budgets))


if __name__ == "__main__":
    sys.exit(main())
