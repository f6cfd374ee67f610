"""MATH-500 (Hendrycks et al., 2021; the split of Lightman et al., 2023) from the hub or from a file."""

from __future__ import annotations

import re

from envs.base_env import DataOptions, Problem
from envs.grading import extract_gold, parses
from envs.problems import from_file, from_hub, problem_of, select
from reason.common.errors import UserError
from reason.common.rows import Row

HUB_ID = "HuggingFaceH4/MATH-500"
# What says in a reference solution that an answer follows. Without one a gold is taken as a whole or not at all: the
# last number of a text would be a guess.
MARK = re.compile(r"\\(?:boxed|fbox)\b|####|\banswer\s*(?:is|:)", re.IGNORECASE)


def problems(options: DataOptions) -> list[Problem]:
    """The problems chosen by `options`. Raises UserError, also for a gold answer that cannot be read."""
    if options.data_path is not None:
        return select(from_file(options.data_path, _read), options)
    if options.split != "test":
        advice = f"give {options.path_flag} a JSONL file for another"
        raise UserError(f"MATH has the split 'test', not {options.split!r}; {advice}")
    return select(from_hub(HUB_ID, "test", _read, options.path_flag), options)


def gold(text: str) -> str | None:
    """The gold answer of a row's answer field: the text itself, or what a reference solution ends with.

    None where neither can be parsed.
    """
    answer = extract_gold(text) if MARK.search(text) else text
    return answer if parses(answer) is None else None


def _read(row: Row, number: int) -> Problem:
    return problem_of(row, gold, f"MATH/{number}")
