"""An endless, seeded source of arithmetic questions with levels and content-split train, dev and test.

A question is a running total of terms. Operands stay inside what a small model can learn (sums and
differences of up to three digits and two, one-digit products); difficulty comes from the number of steps
and from the traps of `misconceptions`. Every intermediate value is at least 2 and the answer at least 100,
so no operation is idle and a guess is rarely right.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

from envs.arithmetic.expression import Expr, Op, apply, canonical, evaluate
from envs.arithmetic.misconceptions import traps

LEVELS: dict[str, int] = {"3": 3, "5": 5, "8": 8, "12": 12, "16": 16, "check": 5}  # level -> number of steps
DEFAULT_LEVEL = "8"
SPLITS = ("train", "dev", "test")
TRAP_SHARE = 0.42  # of the questions hold exactly one trap, the others none
CHECK_TAG = "<|check|>"  # asks for the format in which a solver may take a step back

_LOW, _HIGH = 2, 199  # bounds of a running total; the last may exceed _HIGH


def split_of(expr: Expr) -> str:
    """The split that a question belongs to by its content: 90 % train, 5 % dev, 5 % test."""
    bucket = int.from_bytes(hashlib.sha256(canonical(expr).encode()).digest()[:8], "big") % 20
    return {0: "test", 1: "dev"}.get(bucket, "train")


def generate(level: str, split: str, seed: int) -> Iterator[Expr]:
    """Yield distinct questions for ever; the i-th is a function of (level, split, seed, i) alone.

    Raises ValueError for a level or split that is not listed above.
    """
    if level not in LEVELS:
        raise ValueError(f"level {level!r} is not one of {', '.join(LEVELS)}")
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is not one of {', '.join(SPLITS)}")
    rng = random.Random(f"openr arithmetic {level} {split} {seed}")
    seen: set[str] = set()
    while True:
        wanted = 1 if rng.random() < TRAP_SHARE else 0
        while True:
            expr = _draw(rng, LEVELS[level])
            if expr is None or split_of(expr) != split or len(traps(expr)) != wanted:
                continue
            key = canonical(expr)
            if key not in seen:
                break
        seen.add(key)
        yield expr


def _draw(rng: random.Random, steps: int) -> Expr | None:
    """One candidate with `steps` operations, or None where a bound was broken."""
    expr, left = _term(rng, steps, first=True)
    total = evaluate(expr)
    while left > 0:
        term, left = _term(rng, left - 1, first=False)
        value, op = evaluate(term), rng.choice("++-")
        total = apply(op, total, value)
        if not _LOW <= total <= (_HIGH if left else 10 * _HIGH):
            return None
        if op == "-" and value == evaluate(_last(expr)):
            return None  # + x - x cancels
        expr = Op(op, expr, term)
    return expr if total >= 100 else None


def _last(expr: Expr) -> Expr:
    return expr.right if isinstance(expr, Op) and expr.op in "+-" else expr


def _term(rng: random.Random, budget: int, first: bool) -> tuple[Expr, int]:
    """A term of the sum and what it leaves of the budget of operations."""
    kinds = ["number", "number"]
    if first and budget >= 2:
        kinds += ["digit"] * 3
    if budget >= 1:
        kinds += ["product", "product"]
    if budget >= 2:
        kinds += ["group * digit"] if first else ["group * digit", "(sum)"]
    if budget >= 3:
        kinds.append("deep group * digit")
    kind = rng.choice(kinds)
    digit = rng.randint
    if kind == "number":
        return digit(10, 99), budget
    if kind == "digit":
        return digit(2, 6), budget
    if kind == "product":
        return Op("*", digit(2, 9), digit(2, 9)), budget - 1
    if kind == "(sum)":
        a, b = digit(11, 60), digit(11, 60)
        group = Op("+", a, b) if rng.random() < 0.5 else Op("-", max(a, b) + 2, min(a, b))
        return group, budget - 1
    value = digit(2, 9)
    if kind == "group * digit":
        return Op("*", _small_group(rng, value), digit(2, 9)), budget - 2
    a, b = digit(2, 9), digit(2, 9)
    if a * b - value >= 2:
        group = Op("-", Op("*", a, b), a * b - value)
        return Op("*", group, digit(2, 9)), budget - 3
    return Op("*", a, b), budget - 1


def _small_group(rng: random.Random, value: int) -> Expr:
    """A one-operation group of the given one-digit value."""
    if value >= 4 and rng.random() < 0.5:
        a = rng.randint(2, value - 2)
        return Op("+", a, value - a)
    b = rng.randint(3, 12)
    return Op("-", b + value, b)
