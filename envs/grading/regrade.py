"""Grade a finished run again, and show what a new grader changes."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from envs.base_env import Grader, Task, load_task
from reason.common.errors import UserError
from reason.common.rows import checked_rows

SHOWN = 40  # changes that are printed
_MARKS = {True: "right", False: "wrong", None: "undecided"}


class Change(NamedTuple):
    """A solution whose answer or verdict is another now."""

    place: str
    gold: str
    before: tuple[str | None, bool | None]  # answer, verdict
    after: tuple[str | None, bool | None]


async def regrade(run_dir: Path, task_name: str | None) -> str:
    """Extract and grade every solution in `run_dir`/record.jsonl again; returns the text to print. Changes no file.

    Raises UserError.
    """
    if not run_dir.is_dir():
        raise UserError(f"there is no folder {run_dir}")
    task = load_task(task_name or _task_of(run_dir))
    grader = task.grader()
    before: Counter[str] = Counter()
    after: Counter[str] = Counter()
    changes: list[Change] = []
    try:
        for place, record in checked_rows(run_dir / "record.jsonl"):
            for change, verdicts in await _record(task, grader, place, record):
                before[_MARKS[verdicts[0]]] += 1
                after[_MARKS[verdicts[1]]] += 1
                if change is not None:
                    changes.append(change)
    finally:
        await grader.close()
    total = sum(after.values())
    if not total:
        raise UserError(f"{run_dir / 'record.jsonl'} holds no solutions")
    lines = [f"{total} solutions of {run_dir}", f"{'':12}{'before':>8}{'now':>8}"]
    lines += [f"{mark:12}{before[mark]:>8}{after[mark]:>8}" for mark in _MARKS.values()]
    lines.append(
        f"{len(changes)} changed" + (f", the first {SHOWN}:" if len(changes) > SHOWN else ":" if changes else "")
    )
    for change in changes[:SHOWN]:
        (old_answer, old), (new_answer, new) = change.before, change.after
        lines.append(
            f"  {change.place} gold {change.gold!r}: {old_answer!r} {_MARKS[old]} -> {new_answer!r} {_MARKS[new]}"
        )
    return "\n".join(lines)


def _task_of(run_dir: Path) -> str:
    config = run_dir / "config.json"
    try:
        arguments = json.loads(config.read_text(encoding="utf-8"))["arguments"]
        return str(arguments["task_name"])
    except (OSError, ValueError, KeyError, TypeError):
        raise UserError(f"{config} does not say which task was run; give --task") from None


async def _record(
    task: Task, grader: Grader, place: str, record: Mapping[str, Any]
) -> list[tuple[Change | None, tuple[bool | None, bool | None]]]:
    """For each solution of a record: the change, if any, and (verdict then, verdict now). No answer is wrong."""
    gold, outputs = record.get("gold", record.get("groundtruth")), record.get("output")
    if not isinstance(gold, str) or not isinstance(outputs, list):
        raise UserError(f"{place}: not a record of a run: fields 'gold' and 'output' are expected")

    async def one(index: int, output: Mapping[str, Any]) -> tuple[Change | None, tuple[bool | None, bool | None]]:
        old_answer = output.get("answer")
        old = False if old_answer is None else output.get("verdict")
        answer = task.extract(str(output.get("text", "")))
        new = False if answer is None else (await grader.equal(gold, answer)).equal
        changed = old != new or old_answer != answer
        change = (
            Change(f"{record.get('id', place)}#{index}", gold, (old_answer, old), (answer, new)) if changed else None
        )
        return change, (old, new)

    return list(await asyncio.gather(*(one(i, output) for i, output in enumerate(outputs))))
