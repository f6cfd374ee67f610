"""Problems from a local JSONL file, shared by every task: one row a line, each error with file, line and field."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from envs.base_env import DataOptions, Problem
from reason.common.errors import UserError

Row = Mapping[str, Any]


def rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield (place, row) for each non-empty line; the place is `file:line`. Raises UserError."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}:{number}", _row(line, f"{path}:{number}")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start})") from None


def _row(line: str, place: str) -> Row:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: not a JSON object: {error}") from None
    if not isinstance(row, dict):
        raise UserError(f"{place}: a JSON object is expected, not {type(row).__name__}")
    return row


def field(row: Row, place: str, *names: str) -> str:
    """The first of the named fields as text; numbers are taken as their text. Raises UserError when none is there."""
    for name in names:
        value = row.get(name)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        if value is not None:
            if not isinstance(value, str) or not value.strip():
                raise UserError(f"{place}: field {name!r} must be non-empty text, not {str(value)[:40]!r}")
            return value
    raise UserError(f"{place}: field {' or '.join(map(repr, names))} is missing")


def load(path: Path, read: Callable[[Row, str, int], Problem]) -> list[Problem]:
    """All problems of a file by `read(row, place, index)`; refuses an empty file and repeated ids."""
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    for index, (place, row) in enumerate(rows(path)):
        problem = read(row, place, index)
        if problem.id in seen:
            raise UserError(f"{place}: id {problem.id!r} was already used at {seen[problem.id]}")
        seen[problem.id] = place
        problems.append(problem)
    if not problems:
        raise UserError(f"{path} holds no rows")
    return problems


def select(problems: list[Problem], options: DataOptions) -> list[Problem]:
    """Level, then shuffling, then the limit; raises UserError when nothing is left."""
    chosen = [p for p in problems if options.level is None or p.level == options.level]
    if not chosen:
        levels = ", ".join(sorted({p.level for p in problems if p.level is not None})) or "none"
        raise UserError(f"no problem of level {options.level!r}; the levels there are: {levels}")
    if options.shuffle_seed is not None:
        random.Random(options.shuffle_seed).shuffle(chosen)
    return check_limit(options, chosen)


def check_limit(options: DataOptions, problems: list[Problem]) -> list[Problem]:
    """The first `limit` problems; raises UserError for a limit below 1."""
    if options.limit is not None and options.limit < 1:
        raise UserError(f"limit {options.limit} is below 1")
    return problems[: options.limit]
