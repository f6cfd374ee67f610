"""Sums, multiples and products of matrices as one matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from envs.grading.equal.exact import Undefined, exact
from envs.grading.guard import MAX_NODES, TooCostly
from envs.grading.read.nodes import Call, Matrix, Node, Num, size


def matrix(node: Node) -> Matrix | None:
    """The matrix that sums, differences, multiples and products of matrices are, its entries left symbolic."""
    if isinstance(node, Matrix):
        return node
    if not isinstance(node, Call):
        return None
    parts = [matrix(arg) for arg in node.args]
    if node.name == "neg" and parts[0] is not None:
        return _each(parts[0], lambda entry: Call("neg", (entry,)))
    if node.name == "+" and all(parts):
        a, b = parts
        assert a is not None and b is not None
        if len(a.rows) != len(b.rows) or len(a.rows[0]) != len(b.rows[0]):
            return None
        rows = zip(a.rows, b.rows, strict=True)
        return Matrix(tuple(tuple(Call("+", pair) for pair in zip(*row, strict=True)) for row in rows))
    if node.name == "/" and parts[0] is not None and parts[1] is None:
        return _each(parts[0], lambda entry: Call("/", (entry, node.args[1])))
    if node.name == "*" and sum(part is not None for part in parts) == 1:
        inner, factor = (parts[0], node.args[1]) if parts[0] is not None else (parts[1], node.args[0])
        assert inner is not None
        return _each(inner, lambda entry: Call("*", (factor, entry)))
    if node.name == "*" and all(parts):
        a, b = parts
        assert a is not None and b is not None
        if len(a.rows[0]) != len(b.rows) or len(a.rows) * len(b.rows) * len(b.rows[0]) > 512:
            return None
        if size(a) + size(b) > MAX_NODES:
            raise TooCostly("a product of too many matrices")
        columns = list(zip(*b.rows, strict=True))
        return Matrix(tuple(tuple(_dot(row, column) for column in columns) for row in a.rows))
    return None


def _each(node: Matrix, change: Callable[[Node], Node]) -> Matrix:
    return Matrix(tuple(tuple(change(entry) for entry in row) for row in node.rows))


def _dot(row: Sequence[Node], column: Sequence[Node]) -> Node:
    total: Node = Call("*", (row[0], column[0]))
    for a, b in zip(row[1:], column[1:], strict=True):
        total = Call("+", (total, Call("*", (a, b))))
    try:
        known = exact(total)
    except Undefined:
        return total
    return total if known is None else Num(known)
