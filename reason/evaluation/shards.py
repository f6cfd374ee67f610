"""A large run split over clients: each takes every num_shards-th problem, and its folder is one shard of the run."""

from __future__ import annotations

import json
from collections.abc import Sequence

from envs.base_env import Problem
from reason.common.errors import UserError
from reason.evaluation.records import FREE, first_difference
from reason.evaluation.runs import Run, join


def part(problems: Sequence[Problem], num_shards: int, shard: int) -> list[Problem]:
    """The problems of one shard: those at the indices i with i % num_shards == shard. Raises UserError for none."""
    mine = list(problems[shard::num_shards])
    if not mine:
        raise UserError(f"--shard {shard} of {num_shards} has no problem, only {len(problems)} are selected")
    return mine


def merge(runs: list[Run]) -> list[Run]:
    """Put the shards of a run together; other runs stay as they are, and so does the order.

    Raises UserError, in one line, when a shard is missing, is there twice, or differs in another argument.
    """
    groups: dict[str, list[Run]] = {}
    for number, run in enumerate(runs):
        groups.setdefault(_key(run) if _shards(run) > 1 else str(number), []).append(run)
    for group in groups.values():
        _check(group, runs)
    return [join(sorted(group, key=_shard), "shard") for group in groups.values()]


def _shards(run: Run) -> int:
    return run.config["arguments"].get("num_shards") or 1  # absent in older folders


def _shard(run: Run) -> int:
    return run.config["arguments"].get("shard") or 0


def _key(run: Run) -> str:
    """What all shards of one run have in common."""
    arguments = {k: v for k, v in run.config["arguments"].items() if k not in FREE and k != "shard"}
    rest = [run.config[name] for name in ("method", "LM", "RM", "method_config", "gen_config", "dataset", "cards")]
    return json.dumps([arguments, *rest], sort_keys=True)


def _check(group: list[Run], runs: list[Run]) -> None:
    """Raise UserError unless the group is a whole run."""
    first, wanted = group[0], _shards(group[0])
    known: dict[int, Run] = {}
    for run in group:
        if _shard(run) in known:
            raise UserError(f"{known[_shard(run)].name} and {run.name} are both shard {_shard(run)} of {wanted}")
        known[_shard(run)] = run
    missing = sorted(set(range(wanted)) - set(known))
    if missing:
        others = [run for run in runs if _shards(run) == wanted and _shard(run) in missing]
        differences = [
            f"; {other.name} is shard {_shard(other)}, but {difference}"
            for other in others
            if (difference := first_difference(first.config, other.config, FREE | {"shard"}))
        ]
        numbers = ", ".join(map(str, missing))
        raise UserError(f"{first.name}: shard {numbers} of {wanted} is missing{(differences or [''])[0]}")
    seen: dict[str, Run] = {}
    for run in group:
        for identifier in run.results:
            other = seen.setdefault(identifier, run)
            if other is not run:
                raise UserError(f"{other.name} and {run.name} overlap: both hold question {identifier}")
