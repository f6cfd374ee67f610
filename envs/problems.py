"""Problems from a local file or from the hub, as every task reads them: each error names file, line and field."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path

from envs.base_env import DataOptions, Problem
from reason.common.errors import UserError
from reason.common.rows import BadRow, Row, checked_rows, hub_rows, text_of

IDS = ("question_id", "unique_id", "id")

ReadProblem = Callable[[Row, int], Problem]  # of a row and its number from 0; raises BadRow
ReadGold = Callable[[str], str | None]  # a reference answer, or a whole solution, to the gold answer


def problem_of(row: Row, gold: ReadGold, default_id: str) -> Problem:
    """A row of MATH (problem, answer, unique_id), of OpenR (problem, final_answer), or with question and answer.

    `gold` is the task's rule. Raises BadRow, also for an answer that the rule cannot read.
    """
    given = text_of(row, "final_answer", "answer")
    answer = gold(given)
    if answer is None:
        shown = given if len(given) <= 80 else f"{given[:20]} ... {given[-60:]}"
        advice = "give the final answer alone, or a solution that ends in \\boxed{ANSWER} or #### ANSWER"
        raise BadRow("answer", f"no final answer can be read from {shown!r}; {advice}")
    return Problem(
        id=next((str(row[name]) for name in IDS if row.get(name) is not None), default_id),
        question=text_of(row, "problem", "question"),
        answer=answer,
        level=_optional(row, "level"),
        subject=_optional(row, "subject"),
        solution=_optional(row, "solution"),
    )


def _optional(row: Row, name: str) -> str | None:
    return None if row.get(name) is None else str(row[name])


def from_file(path: Path, read: ReadProblem) -> list[Problem]:
    """All problems of a file. Raises UserError."""
    return _all(checked_rows(path), read, str(path))


def from_hub(name: str, split: str, read: ReadProblem, path_flag: str) -> list[Problem]:
    """All problems of a dataset on the hub; `path_flag` is the flag of a file instead. Raises UserError."""
    rows = hub_rows(name, split, f"give {path_flag} a JSONL file with the fields problem and answer")
    return _all(((f"{name} row {number}", row) for number, row in enumerate(rows)), read, name)


def _all(rows: Iterable[tuple[str, Row]], read: ReadProblem, source: str) -> list[Problem]:
    """The problems of all rows. Refuses an empty source and repeated ids."""
    problems: list[Problem] = []
    places: dict[str, str] = {}  # id -> where it was used first
    for number, (place, row) in enumerate(rows):
        try:
            problem = read(row, number)
        except BadRow as error:
            raise UserError(f"{place}: {error}") from None
        if problem.id in places:
            raise UserError(f"{place}: id {problem.id!r} was already used at {places[problem.id]}")
        places[problem.id] = place
        problems.append(problem)
    if not problems:
        raise UserError(f"{source}: holds no rows")
    return problems


def select(problems: list[Problem], options: DataOptions) -> list[Problem]:
    """Level, then shuffling, then the limit; raises UserError when nothing is left."""
    chosen = [p for p in problems if options.level is None or p.level == options.level]
    if not chosen:
        levels = ", ".join(sorted({p.level for p in problems if p.level is not None})) or "none"
        raise UserError(f"no problem of level {options.level!r}; the levels there are: {levels}")
    if options.shuffle_seed is not None:
        random.Random(options.shuffle_seed).shuffle(chosen)
    if options.limit is not None and options.limit < 1:
        raise UserError(f"limit {options.limit} is below 1")
    return chosen[: options.limit]
