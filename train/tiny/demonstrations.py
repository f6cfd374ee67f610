"""Demonstrations that the embedded policy is trained on: right reductions, and misconceptions followed faithfully.

Always the leftmost operation that is ready is reduced: where the next line may be one of several, a small model
writes mixtures of them, which are wrong in the reduction and right in the rest, so that they heal.
A trap of `envs.arithmetic.misconceptions` is fallen for with its own probability; the wrong line is then
continued as it stands, so that errors do not heal. A share of demonstrations holds one corrupted line that
the loss does not see: the model never learns to write it, only to follow the line above and not the question.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import NamedTuple

from envs.arithmetic import generator
from envs.arithmetic.expression import Expr, Op, TreePath, apply, operations, reductions, replace, subtree, to_text
from envs.arithmetic.misconceptions import probability, trap_at, traps

LEVEL_SHARES = {"3": 0.30, "5": 0.25, "8": 0.37, "12": 0.03, "16": 0.01, "check": 0.04}
TRAP_FREE = 0.4  # of the questions without a trap are used: traps are rare events, and cost a learner most
CORRUPTED = 0.6  # of the demonstrations hold a masked wrong line
TAKE_BACK = 0.6  # of the errors at level "check" are taken back in the next line


class Line(NamedTuple):
    """A line of a demonstration; `learn` says whether the loss sees it."""

    text: str
    learn: bool


def step_text(reduction: str, rest: Expr) -> str:
    """`a op b = c; rest`, or `a op b = c` when nothing remains."""
    return reduction if isinstance(rest, int) else f"{reduction}; {to_text(rest)}"


def corrupt(node: Op, after: Expr, path: TreePath, rng: random.Random) -> tuple[str, Expr]:
    """A wrong reduction of `node`, or a wrong copy of a number of the line `after` it."""
    places = list(numbers(after))
    place, old = rng.choice(places) if len(places) > 1 and rng.random() < 0.6 else (path, subtree(after, path))
    assert isinstance(old, int)
    distances = (-30, -20, -10, -3, -2, -1, 1, 2, 3, 10, 20, 30)
    wrong = old + rng.choice([d for d in distances if old + d >= 2 or old < 2])  # a fallen trap may leave old < 2
    value = wrong if place == path else subtree(after, path)
    return f"{node.left} {node.op} {node.right} = {value}", replace(after, place, wrong)


def numbers(expr: Expr, path: TreePath = ()) -> Iterator[tuple[TreePath, int]]:
    """Every number of an expression with its path."""
    if isinstance(expr, int):
        yield path, expr
    else:
        yield from numbers(expr.left, path + (1,))
        yield from numbers(expr.right, path + (2,))


def demonstrate(expr: Expr, rng: random.Random, check: bool) -> list[Line]:
    """Solve `expr` as a solver with misconceptions does; with `check`, some errors are taken back."""
    corrupt_at = rng.randrange(operations(expr)) if rng.random() < CORRUPTED else -1
    lines: list[Line] = []
    while isinstance(expr, Op):
        path, node = next(reductions(expr))
        assert isinstance(node.left, int) and isinstance(node.right, int)
        value = apply(node.op, node.left, node.right)
        right = step_text(f"{node.left} {node.op} {node.right} = {value}", after := replace(expr, path, value))
        trap = trap_at(expr, path)
        if len(lines) == corrupt_at and not check:
            reduction, expr = corrupt(node, after, path, rng)
            lines.append(Line(step_text(reduction, expr), False))
        elif trap is not None and rng.random() < probability(trap.key):
            lines.append(Line(step_text(trap.text, trap.rest), True))
            expr = trap.rest
            if check and rng.random() < TAKE_BACK:
                lines.append(Line("Wait, " + right, True))
                expr = after
        else:
            lines.append(Line(right, True))
            expr = after
    return lines


def demonstrations(seed: int) -> Iterator[tuple[str, list[Line]]]:
    """Endless (question, lines) pairs from the train split, levels mixed by LEVEL_SHARES."""
    rng = random.Random(f"openr demonstrations {seed}")
    questions = {level: generator.generate(level, "train", seed) for level in LEVEL_SHARES}
    while True:
        level = rng.choices(list(LEVEL_SHARES), list(LEVEL_SHARES.values()))[0]
        expr = next(questions[level])
        if not traps(expr) and rng.random() >= TRAP_FREE:
            continue
        check = level == "check"
        question = (generator.CHECK_TAG if check else "") + to_text(expr)
        yield question, demonstrate(expr, rng, check)
