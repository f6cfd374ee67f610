"""A run's folder: its name, what it says of the run, and whether the run may go on."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.base_env import Problem
from reason.common.errors import UserError
from reason.common.files import locked, read_json
from reason.evaluation.manifest import commit, dataset_hash, versions
from reason.evaluation.records import CONFIG, first_difference
from train.core.processes import Processes
from train.mat.runner import checkpoint

__all__ = ["CONFIG", "manifest", "new", "resumable"]

MAY_CHANGE = {  # of a run that is resumed
    "resume", "num_updates", "max_seconds", "save_dir", "save_interval", "eval_interval", "wandb", "device",
    "token_budget", "rows", "controller_addr", "experiment_name", "rollout_model", "rollout_gpu_memory", "shard",
}  # fmt: skip


def new(args: argparse.Namespace) -> Path:
    """A folder for a new run; nothing is made yet."""
    stamp = time.strftime("%Y%m%d_%H%M%S")
    name = "_".join(filter(None, [args.experiment_name, stamp]))
    base = args.save_dir / args.task_name / args.algorithm_name
    return next(path for n in range(1000) if not (path := base / (f"{name}_{n}" if n else name)).exists())


def manifest(args: argparse.Namespace, train: Sequence[Problem], held_out: Sequence[Problem]) -> dict[str, Any]:
    """What config.json holds: arguments, hashes of the questions, versions, commit."""
    data = {"train": list(train), "held_out": list(held_out)}
    return {
        "arguments": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
        "dataset": {name: {"questions": len(p), "sha256": dataset_hash(p)} for name, p in data.items()},
        "versions": versions(),
        "commit": commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def resumable(args: argparse.Namespace, config: dict[str, Any], processes: Processes) -> dict[str, Any] | None:
    """The checkpoint to go on from, None without one. Raises UserError where no run is there, or one of other arguments
    or data, and where another process writes it.
    """
    if args.resume is None:
        return None
    if not (args.resume / CONFIG).is_file():
        raise UserError(f"--resume {args.resume}: there is no run (no {CONFIG})")
    free = MAY_CHANGE - ({"num_updates"} if args.lr_schedule == "linear" else set())
    old = read_json(args.resume / CONFIG)
    if not isinstance(old, dict) or "arguments" not in old or "dataset" not in old:
        raise UserError(f"--resume {args.resume}: its {CONFIG} is not of a run of train_llm.py")
    difference = first_difference(old, config, free, ("arguments", "dataset"))
    if difference:
        raise UserError(f"--resume {args.resume}: {difference}; give the run's own value, or start a new run")
    if processes.first:
        locked(args.resume / CONFIG).close()
    return checkpoint.load_state(args.resume)
