"""The questions of a labelling run: a task's own, or a file as OpenR takes it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from envs import jsonl
from envs.base_env import DataOptions, Problem, Task
from reason.common.errors import UserError


def questions(args: argparse.Namespace, task: Task) -> list[Problem]:
    """All questions of the run, shards taken together. Raises UserError."""
    if args.question_file is None:
        own = DataOptions(split=args.split, limit=args.limit, level=args.level, path_flag="--question_file")
        return task.problems(own)
    problems, seen = list[Problem](), dict[str, str]()
    for index, (place, row) in enumerate(_rows(args.question_file)):
        problem = _problem(row, place, index)
        if problem.id in seen:
            raise UserError(f"{place}: id {problem.id!r} was already used at {seen[problem.id]}")
        seen[problem.id] = place
        problems.append(problem)
    if not problems:
        raise UserError(f"{args.question_file} holds no questions")
    return jsonl.select(problems, DataOptions(limit=args.limit, level=args.level))


def _rows(path: Path) -> Iterator[tuple[str, jsonl.Row]]:
    """Yield (place, row) of a JSON list or of JSONL."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read() if file.read(1) == "[" else None
    except (OSError, UnicodeDecodeError):
        text = None  # jsonl.rows says what is wrong with it
    if text is None:
        yield from jsonl.rows(path)
        return
    try:
        rows = json.loads("[" + text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a JSON list: {error}") from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise UserError(f"{path}, item {number}: a JSON object is expected, not {type(row).__name__}")
        yield f"{path}, item {number}", row


def _problem(row: jsonl.Row, place: str, index: int) -> Problem:
    identifier = next((row[name] for name in ("question_id", "unique_id", "id") if row.get(name) is not None), index)
    return Problem(
        id=str(identifier),
        question=jsonl.field(row, place, "problem", "question"),
        answer=jsonl.field(row, place, "final_answer", "answer"),
        level=None if row.get("level") is None else str(row["level"]),
    )
