"""The exact oracle of the arithmetic task: says of each step whether it follows, whether all before it did, and whether
the gold value is still within reach.

A step is `a op b = c; rest`, or `a op b = c` when nothing remains; at level "check" also `Wait, ` and such a line,
which takes the previous line back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from envs.arithmetic.expression import (
    Expr,
    ExpressionError,
    Op,
    apply,
    evaluate,
    operations,
    parse,
    reductions,
    replace,
)
from envs.arithmetic.generator import CHECK_TAG
from envs.base_env import Problem, StepVerdict

SPARE_STEPS = 2  # a solution may have this many steps more than the question has operations
MAX_OPERATIONS = 64  # of a line; a longer one is malformed
TAKE_BACK = "Wait, "

_NUMBER = re.compile(r"\s*-?\d{1,24}\s*", re.ASCII)
_WRONG = StepVerdict(local_ok=False, prefix_ok=False, value_ok=False)


def judge(question: Problem | str, steps: Sequence[str]) -> list[StepVerdict]:
    """One verdict a step. Never raises: where question or step is not of the language, the verdicts are all wrong."""
    text = question.question if isinstance(question, Problem) else question
    return list(_judge(text, steps))


def _judge(question: str, steps: Sequence[str]) -> Iterator[StepVerdict]:
    may_take_back = question.startswith(CHECK_TAG)
    start = _expression(question.removeprefix(CHECK_TAG))
    if start is None:
        yield from [_WRONG] * len(steps)
        return
    gold, last = evaluate(start), operations(start) + SPARE_STEPS
    above, line, prefix_ok, line_ok = start, start, True, False  # `above` is what `line` was written under
    for index, step in enumerate(steps):
        takes_back = may_take_back and index > 0 and step.startswith(TAKE_BACK)
        parts = _parts(step.removeprefix(TAKE_BACK) if takes_back else step)
        if parts is None or index >= last:
            yield from [_WRONG] * (len(steps) - index)
            return
        idle = takes_back and line_ok  # there was nothing to take back
        above = above if takes_back else line
        reduction, value, line = parts
        line_ok = _follows(above, reduction, value, line) and not idle
        prefix_ok = prefix_ok and line_ok and not takes_back
        yield StepVerdict(local_ok=line_ok, prefix_ok=prefix_ok, value_ok=evaluate(line) == gold)


def _parts(step: str) -> tuple[Op, int, Expr] | None:
    """(a op b, c, what remains) of a step's text; None when it is malformed."""
    reduction_text, equals, tail = step.strip().partition("=")
    value_text, semicolon, rest_text = tail.partition(";")
    if not equals or not _NUMBER.fullmatch(value_text):
        return None
    reduction, value = _expression(reduction_text), int(value_text)
    rest = _expression(rest_text) if semicolon else value
    if not isinstance(reduction, Op) or rest is None or (semicolon and isinstance(rest, int)):
        return None
    if not (isinstance(reduction.left, int) and isinstance(reduction.right, int)):
        return None
    return reduction, value, rest


def _expression(text: str) -> Expr | None:
    if sum(map(text.count, "+-*")) > MAX_OPERATIONS:
        return None
    try:
        return parse(text)
    except ExpressionError:
        return None


def _follows(above: Expr, reduction: Op, value: int, rest: Expr) -> bool:
    """Whether `rest` is `above` with one of its operations, equal to `reduction`, replaced by its right value."""
    assert isinstance(reduction.left, int) and isinstance(reduction.right, int)
    if apply(reduction.op, reduction.left, reduction.right) != value:
        return False
    return any(node == reduction and replace(above, path, value) == rest for path, node in reductions(above))
