"""Problems of the arithmetic task: generated, or read from a JSONL file with `question` and `answer`."""

from __future__ import annotations

import random
from itertools import islice

from envs import jsonl
from envs.arithmetic import generator
from envs.arithmetic.expression import ExpressionError, evaluate, parse, to_text
from envs.base_env import DataOptions, Problem
from reason.common.errors import UserError

DEFAULT_LIMIT = 1000  # the generator never ends


def problems(options: DataOptions) -> list[Problem]:
    """The problems chosen by `options`; ids are `arithmetic/<level>/<split>/<seed>/<index>`. Raises UserError."""
    if options.data_path is not None:
        return jsonl.select(jsonl.load(options.data_path, _read), options)
    level, limit = options.level or generator.DEFAULT_LEVEL, options.limit
    if limit is not None and limit < 1:
        raise UserError(f"limit {limit} is below 1")
    tag = generator.CHECK_TAG if level == "check" else ""
    name = f"arithmetic/{level}/{options.split}/{options.seed}"
    try:
        exprs = list(islice(generator.generate(level, options.split, options.seed), limit or DEFAULT_LIMIT))
    except ValueError as error:
        raise UserError(str(error)) from None
    chosen = [Problem(f"{name}/{i}", tag + to_text(expr), str(evaluate(expr)), level) for i, expr in enumerate(exprs)]
    if options.shuffle_seed is not None:
        random.Random(options.shuffle_seed).shuffle(chosen)
    return chosen


def _read(row: jsonl.Row, place: str, index: int) -> Problem:
    question, answer = jsonl.field(row, place, "question", "problem"), jsonl.field(row, place, "answer").strip()
    try:
        value = evaluate(parse(question.removeprefix(generator.CHECK_TAG)))
    except ExpressionError as error:
        raise UserError(f"{place}: field 'question': {error}") from None
    if answer != str(value):
        raise UserError(f"{place}: field 'answer' is {answer[:40]!r}, but the question's value is {str(value)[:40]}")
    level = jsonl.field(row, place, "level") if row.get("level") is not None else None
    return Problem(str(row.get("id", f"{index}")), question, answer, level)
