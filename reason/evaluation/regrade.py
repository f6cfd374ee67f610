"""Grade a finished run again, and show what a new grader changes: `openr regrade RUN_DIR`."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from envs.base_env import Grader, Task, load_task
from reason.common.command import Parser, run_command
from reason.common.errors import UserError
from reason.common.files import read_json
from reason.common.rows import checked_rows

PROG = "regrade.py"
SHOWN = 40  # changes that are printed
_MARKS = {True: "right", False: "wrong", None: "undecided"}


Verdicts = tuple[bool | None, bool | None]  # of the run, and of the grader of now


class ChangedVerdict(NamedTuple):
    """A solution whose answer or verdict is another now."""

    place: str
    gold: str
    before: tuple[str | None, bool | None]  # answer, verdict
    after: tuple[str | None, bool | None]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser(PROG, description=__doc__)
    parser.add_argument("run_dir", type=Path, help="folder of a finished run, with record.jsonl")
    parser.add_argument("--task", help="the run's task, where config.json does not say")
    args = parser.parse_args(arguments)

    async def act() -> None:
        print(await regrade(args.run_dir, args.task))

    return run_command(PROG, act)


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
    changes: list[ChangedVerdict] = []
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
        return str(read_json(config)["arguments"]["task_name"])
    except (UserError, KeyError, TypeError):
        raise UserError(f"{config} does not say which task was run; give --task") from None


async def _record(
    task: Task, grader: Grader, place: str, record: Mapping[str, Any]
) -> list[tuple[ChangedVerdict | None, Verdicts]]:
    """For each solution of a record: the change, if any, and (verdict then, verdict now). No answer is wrong."""
    gold, outputs = record.get("gold", record.get("groundtruth")), record.get("output")
    if not isinstance(gold, str) or not isinstance(outputs, list):
        raise UserError(f"{place}: not a record of a run: fields 'gold' and 'output' are expected")

    async def graded(index: int, output: Mapping[str, Any]) -> tuple[ChangedVerdict | None, Verdicts]:
        old_answer = output.get("answer")
        old = False if old_answer is None else output.get("verdict")
        answer = task.answer(str(output.get("text", "")), cut=output.get("finish_reason") == "length")
        new = False if answer is None else (await grader.equal(gold, answer)).equal
        if old == new and old_answer == answer:
            return None, (old, new)
        place_of_answer = f"{record.get('id', place)}#{index}"
        return ChangedVerdict(place_of_answer, gold, (old_answer, old), (answer, new)), (old, new)

    return list(await asyncio.gather(*(graded(i, output) for i, output in enumerate(outputs))))


if __name__ == "__main__":
    sys.exit(main())
