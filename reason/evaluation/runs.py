"""Run folders read back, and put together: runs that differ in their seed alone are averaged question by question."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reason.common.errors import UserError
from reason.evaluation import records, stats
from reason.guided_search import METHODS
from reason.inference.ledger import Ledger

NEEDED = ("method", "LM", "RM", "arguments", "method_config", "gen_config", "dataset", "cards")
APART = {"LM", "RM", "method", "lm_card", "rm_card", "seed", "num_shards", "shard"} | records.FREE


@dataclass
class Run:
    """A run folder read back, or several put together. What it cost is of all questions, failed ones too."""

    name: str
    config: dict[str, Any]
    results: dict[str, dict[str, float]]  # question id -> result, of the questions that were answered
    ledger: Ledger  # sums
    questions: int  # in all, failed ones too
    errors: int
    seconds: float  # of its client; of several clients, their sum
    folders: tuple[Path, ...]
    seeds: frozenset[int | None]


def read(path: Path) -> Run:
    """Read a run folder, whether the run has ended or not. Raises UserError."""
    config = records.read_config(path)
    lacking = [key for key in NEEDED if not isinstance(config, dict) or key not in config]
    if lacking:
        raise UserError(f"{path / records.CONFIG}: has no {lacking[0]!r}, so it is not of evaluate.py")
    rows, ledger = records.read_records(path), Ledger.of(config.get("measured_steps", {}).get("ledger", {}))
    for row in rows:
        ledger.add(Ledger.of(row["ledger"]))
    results = {row["id"]: row["result"] for row in rows if row["error"] is None}
    seconds = max((row["elapsed"] for row in rows), default=0.0)
    seeds = frozenset([config["gen_config"].get("seed")])
    return Run(str(path), config, results, ledger, len(rows), len(rows) - len(results), seconds, (path,), seeds)


def gaps(name: str, config: dict[str, Any], questions: int, errors: int) -> list[str]:
    """What a reader must know of a run that has not ended, or in which questions failed."""
    planned, which = config["dataset"].get("questions", questions), f"{config['method']} in {name}"
    notes = [f"{which} has not ended: {questions} of {planned} questions."] if questions < planned else []
    if errors:
        notes.append(f"{which}: {errors} questions failed and are in no accuracy; --resume_dir tries them again.")
    return notes


def choices(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments that say how a run searched what, apart from models and method, its seed and its part of it."""
    return {name: value for name, value in config["arguments"].items() if name not in APART}


def budget_of(config: dict[str, Any]) -> int | None:
    """The budget N of a run: --budget, or what the method's own flags come to; None where they do not say."""
    given, method = config["arguments"].get("budget"), METHODS.get(config["method"])
    return method.budget_of(config["method_config"]) if given is None and method else given


def pool(runs: list[Run]) -> list[Run]:
    """Put runs together that differ in their seed alone: per question the mean over the seeds that answered it.

    Raises UserError when the same run, seed and all, is there twice.
    """
    groups: dict[str, dict[int | None, Run]] = {}
    for run in runs:
        config = {key: run.config[key] for key in ("method", "LM", "RM", "method_config", "dataset", "cards")}
        config["gen_config"] = {k: v for k, v in run.config["gen_config"].items() if k != "seed"}
        config["arguments"] = choices(run.config)
        group, seed = groups.setdefault(json.dumps(config, sort_keys=True), {}), run.config["gen_config"].get("seed")
        if seed in group:
            raise UserError(f"{group[seed].name} and {run.name} are the same run with seed {seed}: give one")
        group[seed] = run
    return [join(list(group.values()), "seed") for group in groups.values()]


def join(group: list[Run], what: str) -> Run:
    """One run of several: per question the mean over the runs that answered it, costs summed."""
    if len(group) == 1:
        return group[0]
    results, ledger = {}, Ledger()
    for identifier in dict.fromkeys(identifier for run in group for identifier in run.results):
        answered = [run.results[identifier] for run in group if identifier in run.results]
        results[identifier] = {name: stats.mean([result[name] for result in answered]) for name in answered[0]}
    for run in group:
        ledger.add(run.ledger)
    more = f"{len(group) - 1} more {what}{'s' if len(group) > 2 else ''}"
    sums = (sum(run.questions for run in group), sum(run.errors for run in group), sum(run.seconds for run in group))
    folders = tuple(folder for run in group for folder in run.folders)
    seeds = frozenset().union(*(run.seeds for run in group))
    return Run(f"{group[0].name} and {more}", group[0].config, results, ledger, *sums, folders, seeds)
