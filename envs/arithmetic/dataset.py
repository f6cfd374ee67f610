"""Problems of the arithmetic task: generated, or read from a file with `question` and `answer`."""

from __future__ import annotations

import random
from itertools import islice

from envs.arithmetic import generator
from envs.arithmetic.answer import gold
from envs.arithmetic.expression import ExpressionError, evaluate, parse, to_text
from envs.base_env import DataOptions, Problem
from envs.problems import from_file, problem_of, select
from reason.common.errors import UserError
from reason.common.rows import BadRow, Row

DEFAULT_LIMIT = 1000  # the generator never ends


def problems(options: DataOptions) -> list[Problem]:
    """The problems chosen by `options`; ids are `arithmetic/<level>/<split>/<seed>/<index>`. Raises UserError."""
    if options.data_path is not None:
        return select(from_file(options.data_path, _read), options)
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


def _read(row: Row, number: int) -> Problem:
    """A row whose question is an expression and whose answer is its value. Raises BadRow."""
    problem = problem_of(row, gold, str(number))
    try:
        value = evaluate(parse(problem.question.removeprefix(generator.CHECK_TAG)))
    except ExpressionError as error:
        raise BadRow("question", str(error)) from None
    if problem.answer != str(value):
        raise BadRow("answer", f"is {problem.answer[:40]!r}, but the question's value is {str(value)[:40]}")
    return problem
