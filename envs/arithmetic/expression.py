"""Integer expressions over + - *: a bounded parser, a printer, and the single reductions of a line.

An expression is an `int` or an `Op`; the printer and the parser are inverse to each other, so two lines
mean the same tree exactly when their parsed trees are equal. Nothing here ever evaluates text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_CHARS = 1000
MAX_DIGITS = 12
MAX_DEPTH = 60

_TOKEN = re.compile(r"\s*(\d+|[-+*()])")
_PRECEDENCE = {"+": 1, "-": 1, "*": 2}


class Op(NamedTuple):
    """A binary operation; `op` is one of + - *."""

    op: str
    left: Expr
    right: Expr


Expr = int | Op
TreePath = tuple[int, ...]  # 1 = left, 2 = right, from the root


class ExpressionError(ValueError):
    """The text is not an expression of this language, or exceeds its bounds."""


def apply(op: str, a: int, b: int) -> int:
    """The value of `a op b`."""
    if op == "+":
        return a + b
    return a - b if op == "-" else a * b


def evaluate(expr: Expr) -> int:
    """The value of the whole expression."""
    if isinstance(expr, int):
        return expr
    return apply(expr.op, evaluate(expr.left), evaluate(expr.right))


def parse(text: str) -> Expr:
    """Parse a line; raises ExpressionError on anything that is not an expression within the bounds."""
    if len(text) > MAX_CHARS:
        raise ExpressionError(f"expression longer than {MAX_CHARS} characters")
    tokens, end = [], 0
    text = text.rstrip()
    while end < len(text):
        match = _TOKEN.match(text, end)
        if match is None:
            raise ExpressionError(f"unexpected text at {end}: {text[end : end + 20]!r}")
        tokens.append(match.group(1))
        end = match.end()
    expr, rest = _sum(tokens, 0, 0)
    if rest != len(tokens):
        raise ExpressionError(f"unexpected {tokens[rest]!r}")
    return expr


def _sum(tokens: list[str], at: int, depth: int) -> tuple[Expr, int]:
    expr, at = _product(tokens, at, depth)
    while at < len(tokens) and tokens[at] in "+-":
        right, after = _product(tokens, at + 1, depth)
        expr, at = Op(tokens[at], expr, right), after
    return expr, at


def _product(tokens: list[str], at: int, depth: int) -> tuple[Expr, int]:
    expr, at = _atom(tokens, at, depth)
    while at < len(tokens) and tokens[at] == "*":
        right, after = _atom(tokens, at + 1, depth)
        expr, at = Op("*", expr, right), after
    return expr, at


def _atom(tokens: list[str], at: int, depth: int) -> tuple[Expr, int]:
    if depth > MAX_DEPTH:
        raise ExpressionError(f"nested deeper than {MAX_DEPTH}")
    token = tokens[at] if at < len(tokens) else ""
    if token == "(":
        expr, at = _sum(tokens, at + 1, depth + 1)
        if at >= len(tokens) or tokens[at] != ")":
            raise ExpressionError("unbalanced parenthesis")
        return expr, at + 1
    sign = 1
    if token == "-":
        sign, at = -1, at + 1
        token = tokens[at] if at < len(tokens) else ""
    if not token.isdecimal() or not token.isascii():
        raise ExpressionError(f"a number is missing before {token or 'the end'!r}")
    if len(token) > MAX_DIGITS or (token[0] == "0" and token != "0"):
        raise ExpressionError(f"not a plain number: {token[:20]!r}")
    return sign * int(token), at + 1


def to_text(expr: Expr) -> str:
    """Print with the fewest parentheses; negative numbers are bracketed except at the very left."""
    return _print(expr, 0, True)


def _print(expr: Expr, outer: int, leftmost: bool) -> str:
    if isinstance(expr, int):
        return str(expr) if expr >= 0 or leftmost else f"({expr})"
    inner = _PRECEDENCE[expr.op]
    bracket = inner < outer
    left = _print(expr.left, inner, leftmost or bracket)
    right = _print(expr.right, inner + 1, False)
    text = f"{left} {expr.op} {right}"
    return f"({text})" if bracket else text


def reductions(expr: Expr, path: TreePath = ()) -> Iterator[tuple[TreePath, Op]]:
    """Every operation whose two operands are numbers, leftmost first, with its path from the root."""
    if isinstance(expr, int):
        return
    if isinstance(expr.left, int) and isinstance(expr.right, int):
        yield path, expr
        return
    yield from reductions(expr.left, path + (1,))
    yield from reductions(expr.right, path + (2,))


def subtree(expr: Expr, path: TreePath) -> Expr:
    """The expression at `path`."""
    for side in path:
        assert isinstance(expr, Op)
        expr = expr.left if side == 1 else expr.right
    return expr


def replace(expr: Expr, path: TreePath, new: Expr) -> Expr:
    """`expr` with the expression at `path` replaced by `new`."""
    if not path:
        return new
    assert isinstance(expr, Op)
    if path[0] == 1:
        return Op(expr.op, replace(expr.left, path[1:], new), expr.right)
    return Op(expr.op, expr.left, replace(expr.right, path[1:], new))


def operations(expr: Expr) -> int:
    """Number of operations, which is the number of steps of a right solution."""
    return 0 if isinstance(expr, int) else 1 + operations(expr.left) + operations(expr.right)


def canonical(expr: Expr) -> str:
    """A text that is the same for expressions that differ only by commuting + and *."""
    if isinstance(expr, int):
        return str(expr)
    left, right = canonical(expr.left), canonical(expr.right)
    if expr.op in "+*" and right < left:
        left, right = right, left
    return f"({left}{expr.op}{right})"
