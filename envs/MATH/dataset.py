"""MATH-500 (Hendrycks et al., 2021; the split of Lightman et al., 2023) from the hub or from a JSONL file."""

from __future__ import annotations

import logging
from typing import Any

from envs import jsonl
from envs.base_env import DataOptions, Problem
from envs.grading.parse import parses
from reason.common.errors import UserError

LOG = logging.getLogger(__name__)
HUB_ID = "HuggingFaceH4/MATH-500"


def problems(options: DataOptions) -> list[Problem]:
    """The problems chosen by `options`, gold answers as the dataset's answer field has them. Raises UserError."""
    if options.data_path is not None:
        return _reported(jsonl.select(jsonl.load(options.data_path, _read), options))
    if options.split != "test":
        advice = f"give {options.path_flag} a JSONL file for another"
        raise UserError(f"MATH has the split 'test', not {options.split!r}; {advice}")
    hub = _hub_rows(options.path_flag)
    return _reported(jsonl.select([_read(row, f"{HUB_ID} row {i}", i) for i, row in enumerate(hub)], options))


def _reported(chosen: list[Problem]) -> list[Problem]:
    """The same problems; a gold that only equal text can match is worth a warning, for each problem one line."""
    for problem in chosen:
        why_not = parses(problem.answer)
        if why_not is not None:
            LOG.warning("gold answer of %s cannot be parsed (%s): %.80r", problem.id, why_not, problem.answer)
    return chosen


def _hub_rows(path_flag: str) -> list[dict[str, Any]]:
    """The hub's 500 rows; raises UserError with one line when they cannot be had."""
    advice = f"give {path_flag} a JSONL file with the fields problem and answer"
    try:
        from datasets import load_dataset  # heavy, and not needed for a local file
    except ImportError:
        raise UserError(f"{HUB_ID} needs the package datasets (pip install datasets), or {advice}") from None
    try:
        return list(load_dataset(HUB_ID, split="test"))
    except Exception as error:  # datasets raises many kinds for "not reachable" and "not there"
        first_line = (str(error).splitlines() or [""])[0][:160]
        raise UserError(f"cannot load {HUB_ID} from the hub ({type(error).__name__}: {first_line}); {advice}") from None


def _read(row: jsonl.Row, place: str, index: int) -> Problem:
    """A row of MATH (problem, answer, ...) or of OpenR (question, answer; problem, final_answer)."""
    identifier = row.get("unique_id", row.get("id", f"MATH/{index}"))

    def optional(name: str) -> str | None:
        return None if row.get(name) is None else str(row[name])

    return Problem(
        id=str(identifier),
        question=jsonl.field(row, place, "problem", "question"),
        answer=jsonl.field(row, place, "final_answer" if "final_answer" in row else "answer"),
        level=optional("level"),
        subject=optional("subject"),
        solution=optional("solution"),
    )
