"""The table of learning.py: what the logs and the verdicts on test problems say of each kind of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any

from reason.common.files import read_json
from reason.evaluation import stats
from reason.evaluation.compare import layout
from train.mat.runner import log
from train.mat.runner.guards import Guards

Row = dict[str, Any]
Verdicts = Mapping[str, int]  # problem id -> 1 where it was solved, else 0


@dataclass(frozen=True)
class Run:
    """One training."""

    rows: list[Row]  # of log.jsonl, update 0 first
    test: Verdicts

    @property
    def seconds(self) -> float:
        """Of sampling, with scoring and grading, and of learning."""
        return self._sum("seconds_sampling") + self._sum("seconds_learning")

    @property
    def solutions(self) -> float:
        """That were sampled to learn from."""
        return self._sum("solutions")

    @property
    def curve(self) -> list[tuple[float, float]]:
        """(solutions sampled so far, accuracy on dev) of each evaluation."""
        sampled, found = 0.0, []
        for row in self.rows:
            sampled += row.get("solutions", 0.0)
            if "eval_accuracy" in row:
                found.append((sampled, row["eval_accuracy"]))
        return found

    def reached(self, accuracy: float) -> float | None:
        """Solutions sampled until an evaluation showed this accuracy; None where none did."""
        return next((sampled for sampled, found in self.curve if found >= accuracy), None)

    def warnings(self) -> list[str]:
        """What the guards say of the log, as they did in training."""
        guards = Guards()
        return [text for row in self.rows if "length" in row for text in guards.check(row)]

    def _sum(self, name: str) -> float:
        return sum(row.get(name, 0.0) for row in self.rows)


def read_run(folder: Path, test: Path) -> Run:
    """A finished run; one that was killed early and went on may have told of an update twice. Raises UserError."""
    rows = {row["update"]: row for row in log.read(folder / "log.jsonl")}
    return Run([rows[update] for update in sorted(rows)], read_json(test) if test.is_file() else {})


def with_prm(arguments: Sequence[str]) -> bool:
    """Whether a kind is paid by a PRM."""
    return "--prm_name_or_path" in arguments


def row_of(kind: str, runs: Sequence[Run], before: Verdicts, reach: float, labels: int) -> Row:
    """The row of a kind; accuracies and gains in [0, 1], the rest means over its seeds."""
    after = [{name: run.test[name] for name in before} for run in runs]
    start = stats.mean(list(before.values()))
    gains = [stats.mean(list(one.values())) - start for one in after]
    means = [stats.mean([one[name] for one in after]) for name in before]
    interval = stats.paired_bootstrap(means, list(before.values()))
    reached = [one for one in (run.reached(reach) for run in runs) if one is not None]
    warnings = [text for run in runs for text in run.warnings()]
    return {
        "kind": kind, "seeds": len(runs), "before": start, "after": stats.mean(means), "gain": stats.mean(gains),
        "gain_sd": stdev(gains) if len(gains) > 1 else None, "gain_range": [min(gains), max(gains)],
        "gain_interval": [interval.low, interval.high], "gains": gains, "problems": len(before),
        "updates": stats.mean([run.rows[-1]["update"] for run in runs]),
        "solutions": stats.mean([run.solutions for run in runs]), "seconds": stats.mean([run.seconds for run in runs]),
        "warnings": len(warnings), "warned": warnings, "reach": reach, "reached_seeds": len(reached),
        "to_reach": stats.mean(reached) if reached else None,
        "to_reach_range": [min(reached), max(reached)] if reached else None,
        "to_reach_with_labels": stats.mean(reached) + labels if reached else None,
    }  # fmt: skip


def table(rows: Sequence[Row], reach: float) -> str:
    """The rows for people, in percent and points."""
    target = f"to {100 * reach:g} %"
    titles = ["kind", "seeds", "before", "after", "gain", "sd", "range", "95 %", "updates", "solutions", "seconds",
              "warnings", target, "range", "reached", "with labels"]  # fmt: skip
    return layout([titles, *map(_cells, rows)], markdown=False)


def _cells(row: Row) -> list[str]:
    def points(values: Sequence[float]) -> str:
        return f"[{', '.join(f'{100 * value:+.1f}' for value in values)}]"

    def count(value: float | None) -> str:
        return "-" if value is None else f"{value:,.0f}"

    sd, spread = row["gain_sd"], row["to_reach_range"]
    sampled = row["solutions"] > 0
    return [
        row["kind"], str(row["seeds"]), f"{100 * row['before']:.1f}", f"{100 * row['after']:.1f}",
        f"{100 * row['gain']:+.1f}", "-" if sd is None else f"{100 * sd:.1f}", points(row["gain_range"]),
        points(row["gain_interval"]), count(row["updates"]), count(row["solutions"]) if sampled else "-",
        count(row["seconds"]), str(row["warnings"]), count(row["to_reach"]) if sampled else "-",
        f"[{', '.join(map(count, spread))}]" if spread and sampled else "-", f"{row['reached_seeds']}/{row['seeds']}",
        count(row["to_reach_with_labels"]) if sampled else "-",
    ]  # fmt: skip
