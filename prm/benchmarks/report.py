"""What a benchmark leaves: the tables on the console, and in a folder result.json, table.md, scores.jsonl and plots."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from data.preprocess.common import encoded
from prm.benchmarks.cases import Figures, ScoredCases, Skips, sha256
from prm.benchmarks.scoring import Prm
from reason.evaluation.compare import layout
from reason.evaluation.manifest import commit, versions
from reason.model_cards.card import to_dict

SHOWN = 5  # skipped rows that are told one by one; all stand in result.json

Draw = Callable[[Path], list[Path]]  # writes plots into a folder


@dataclass
class BenchmarkResult:
    """What came of a benchmark. `tables` maps a name to its rows, `draw` needs matplotlib."""

    benchmark: str
    prm: Prm
    tables: dict[str, list[Figures]]
    draw: Draw
    scored: list[ScoredCases] = field(default_factory=list)  # the PRM's own scores
    skips: Skips = field(default_factory=Skips)
    notes: list[str] = field(default_factory=list)


def write(result: BenchmarkResult, args: argparse.Namespace, out: Path) -> None:
    """Print and write everything. Raises OSError, and ModuleNotFoundError when only the plots are missing."""
    notes = [*result.notes, *skip_notes(result.skips)]
    title, tables = f"{result.benchmark}: {result.prm.name}", [cells(*table) for table in result.tables.items()]
    print("\n\n".join([title, *(layout(table, markdown=False) for table in tables), "\n".join(notes)]).rstrip())
    out.mkdir(parents=True, exist_ok=True)
    (out / "table.md").write_bytes(
        encoded("\n\n".join([*(layout(table, markdown=True) for table in tables), *notes]) + "\n")
    )
    data = {
        "benchmark": result.benchmark,
        "PRM": {"name": result.prm.name, "card": to_dict(result.prm.card), "details": details(result.prm)},
        "data": [{"name": s.name, "solutions": len(s.cases), "sha256": sha256(s.cases)} for s in result.scored],
        **result.tables,
        "notes": notes,
        "skipped": result.skips.messages,
        "arguments": {name: _plain(value) for name, value in vars(args).items()},
        "versions": versions(),
        "commit": commit(),
    }
    (out / "result.json").write_bytes(encoded(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"))
    written = [out / "table.md", out / "result.json"]
    if result.scored:
        with (out / "scores.jsonl").open("wb") as file:
            file.writelines(map(_score_lines, result.scored))
        written.append(out / "scores.jsonl")
    print("\nWritten:", *written, *result.draw(out), sep="\n    ")


def details(prm: Prm) -> Figures:
    """What the model's server or loader says of it, its card apart."""
    return {name: value for name, value in prm.model.details.items() if name != "card"}


def skip_notes(skips: Skips) -> list[str]:
    """How many rows were left out, and the first few."""
    notes = [f"{len(skips.messages)} rows were skipped and are in no figure."] if skips.messages else []
    return notes + [f"  {message}" for message in skips.messages[:SHOWN]]


def _score_lines(scored: ScoredCases) -> bytes:
    """One line a solution."""
    return b"".join(
        encoded(json.dumps({
            "name": scored.name, "id": case.id, "place": case.place, "labels": case.labels, "scores": scores,
        }, ensure_ascii=False) + "\n")
        for case, scores in zip(scored.cases, scored.scores, strict=True)
    )  # fmt: skip


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


# Tables. Shares are shown in percent, intervals behind their figure.

FIRST_ERROR = {
    "": "name", "threshold": "threshold_name", "at": "threshold", "n wrong": "wrong_solutions",
    "n right": "right_solutions", "acc. wrong": "first_error_accuracy", "acc. right": "right_accuracy", "F1": "f1",
}  # fmt: skip
STEPS = {"": "name", "steps": "steps", "wrong": "wrong_steps", "AUC": "auc", "ECE": "ece", "Brier": "brier"}
CURVE = {"vote": "name", "N": "budget", "problems": "problems", "accuracy": "accuracy"}
COLUMNS = {"first_error": FIRST_ERROR, "steps": STEPS, "curve": CURVE}


def cells(name: str, rows: Sequence[Figures]) -> list[list[str]]:
    """The table `name` as text, its titles first."""
    columns = dict(COLUMNS[name])
    columns |= {key: key for key in rows[0] if key.startswith(("accuracy at ", "balanced accuracy at "))}
    if any(row.get("ece_of_values") is not None for row in rows):
        columns["ECE of MC values"] = "ece_of_values"
    return [list(columns), *([show(row, key) for key in columns.values()] for row in rows)]


def show(row: Figures, key: str) -> str:
    """A figure of a row as text, with its interval where it has one."""
    value = row.get(key)
    if value is None:
        return "-"
    if key == "threshold":
        return " / ".join(f"{threshold:.3f}" for threshold in value)
    if isinstance(value, (str, int)):
        return str(value)
    shown = f"{value:.3f}" if key in ("ece", "brier", "ece_of_values") else f"{100 * value:.1f}"
    interval = row.get(f"{key}_interval")
    return f"{shown} [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else shown
