"""Consistent misconceptions: the sites of a question at which a weak solver agrees with itself on a wrong value.

Independent slips make majority vote unbeatable, so the questions of this environment hold *traps*: sites
where a known misconception applies. A trap is a property of the line (which operation, which digits), so a
model can learn it, and each trap key has its own probability of being fallen for, drawn once from a Beta.
The generator uses the traps to set the difficulty of a question; the demonstrations that the embedded
policy is trained on (train/tiny) fall into them. The oracle knows nothing of this file.

No wrong value is off by 10, up or down: that is what slips of the other digit are off by, and a second
error that takes the first one back would make a wrong step look right to rollouts.
"""

from __future__ import annotations

import random
from functools import cache
from typing import NamedTuple

from envs.arithmetic.expression import Expr, Op, TreePath, apply, evaluate, reductions, replace, subtree

BETA = (4.0, 1.5)  # of the probability with which a trap is fallen for


class Trap(NamedTuple):
    """A wrong step that a line invites."""

    key: str  # the misconception and the digits that it depends on
    text: str  # the wrong reduction, "a op b = c"
    rest: Expr  # the line that it leaves


@cache
def probability(key: str) -> float:
    """How often a solver who meets the trap `key` falls for it: one draw from Beta(4, 1.5) a key."""
    return random.Random(f"openr misconception {key}").betavariate(*BETA)


@cache
def _active(key: str, share: float) -> bool:
    return random.Random(f"openr active {key}").random() < share


def wrong_value(op: str, a: int, b: int) -> tuple[str, int] | None:
    """The agreed wrong value of `a op b` and the key of its trap, or None where solvers make no such error."""
    if a < 2 or b < 2:
        return None
    if op == "*" and a < 10 and b < 10:
        low, high = sorted((a, b))
        if low > 3 and _active(f"product {low} {high}", 0.4):
            return f"product {low} {high}", low * (high + 1)  # the next entry of the table
    if op == "+" and a % 10 + b % 10 >= 10:
        low, high = sorted((a % 10, b % 10))
        if max(a, b) >= 10 and _active(f"carry {low} {high}", 0.25):
            return f"carry {low} {high}", a + b - 9  # the carry is added to the ones
    short = b % 10 - a % 10
    if op == "-" and short > 0 and short != 5 and a > b >= 10 and _active(f"borrow {a % 10} {b % 10}", 0.25):
        return f"borrow {a % 10} {b % 10}", a - b + 2 * short  # the smaller digit is taken from the larger, no borrow
    value = apply(op, a, b)
    if op == "+" and value >= 100 and value % 10 == 0:
        return f"dropped {value // 10 % 10}", value // 10
    return None


def trap_at(expr: Expr, path: TreePath) -> Trap | None:
    """The trap, if any, that waits where the operation at `path` is reduced next."""
    node = subtree(expr, path)
    assert isinstance(node, Op) and isinstance(node.left, int) and isinstance(node.right, int)
    if path:
        parent = subtree(expr, path[:-1])
        assert isinstance(parent, Op)
        trap = _order_trap(parent, path[-1], node)
        if trap is not None:
            key, text, new = trap
            return Trap(key, text, replace(expr, path[:-1], new))
    agreed = wrong_value(node.op, node.left, node.right)
    if agreed is None:
        return None
    key, wrong = agreed
    return Trap(key, f"{node.left} {node.op} {node.right} = {wrong}", replace(expr, path, wrong))


def _order_trap(parent: Op, side: int, node: Op) -> tuple[str, str, Expr] | None:
    """Precedence: a + b * c read as (a + b) * c. Sign: a - b + c read as a - (b + c)."""
    assert isinstance(node.left, int) and isinstance(node.right, int)
    if parent.op == "+" and node.op == "*" and side == 2 and isinstance(parent.left, int):
        a, b, c = parent.left, node.left, node.right
        if 2 <= a and 2 <= b and a + b <= 9:
            return f"precedence {a} {b}", f"{a} + {b} = {a + b}", Op("*", a + b, c)
    if parent.op == "+" and node.op == "-" and side == 1 and isinstance(parent.right, int):
        a, b, c = node.left, node.right, parent.right
        if min(b, c) >= 2 and a - (b + c) >= 2 and _active(f"sign {b % 10} {c % 10}", 0.6):
            return f"sign {b % 10} {c % 10}", f"{b} + {c} = {b + c}", Op("-", a, b + c)
    return None


def traps(expr: Expr) -> list[str]:
    """Keys of the traps on the leftmost-first right path of the question."""
    keys = []
    while isinstance(expr, Op):
        path, node = next(reductions(expr))
        trap = trap_at(expr, path)
        if trap is not None:
            keys.append(trap.key)
        expr = replace(expr, path, evaluate(node))
    return keys
