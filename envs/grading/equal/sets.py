"""Sets of real numbers: intervals, unions, inequalities and set-builders, compared with their ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise

import mpmath

from envs.grading.equal.algebra import AGREEMENT, Undecided, close
from envs.grading.equal.exact import Undefined
from envs.grading.equal.numeric import NoValue, Value, value
from envs.grading.read.nodes import (
    Braces,
    Builder,
    Group,
    Listing,
    Named,
    NamedSet,
    Node,
    Relation,
    SetOp,
    Sym,
    children,
    symbols,
)

Membership = Callable[[Value, int], bool]  # of a real number, whose ends count to so many digits
INEQUALITIES = {"<", "<=", ">", ">=", "!="}
_FLIP = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "!=": "!=", "=": "="}


@dataclass(frozen=True)
class Interval:
    """Ends, each with whether it belongs to the set."""

    low: Value
    high: Value
    low_closed: bool
    high_closed: bool

    def holds(self, x: Value, digits: int) -> bool:
        """Whether the number is in the interval; to so many digits it may be an end."""
        for end, closed in ((self.low, self.low_closed), (self.high, self.high_closed)):
            if close(x, end, digits):
                return closed
        return bool(self.low < x < self.high)


EVERYTHING = Interval(-mpmath.inf, mpmath.inf, False, False)
_NAMED = {
    "R": [EVERYTHING],
    "R+": [Interval(mpmath.mpf(0), mpmath.inf, False, False)],
    "R-": [Interval(-mpmath.inf, mpmath.mpf(0), False, False)],
    "empty": [],
}


def is_set(node: Node) -> bool:
    """Whether a node can only be a set (an interval with round ends may be a point, too)."""
    if isinstance(node, Relation):
        return any(op in INEQUALITIES or op in ("in", "notin") for op in node.ops)
    if isinstance(node, Group):
        return len(node.items) == 2 and (node.open, node.close) != ("(", ")")
    if isinstance(node, Listing):
        return all(is_set(item) for item in node.items)
    return isinstance(node, (Builder, SetOp, NamedSet))


def real(node: Node) -> Value | None:
    """A real constant, or None."""
    if symbols(node):
        return None
    try:
        result = value(node, {})
    except (NoValue, Undefined, KeyError, ValueError, ArithmeticError):
        return None
    return None if isinstance(result, mpmath.mpc) else result


def variable(node: Node) -> str | None:
    """The variable that a set's description is about, where it names one."""
    if isinstance(node, Builder):
        inner = node.variable.sides[0] if isinstance(node.variable, Relation) else node.variable
        return inner.name if isinstance(inner, Sym) else None
    if isinstance(node, Relation):
        named = unknown(node)
        names = symbols(node)
        return str(named) if isinstance(named, Named) else next(iter(names)) if len(names) == 1 else None
    if isinstance(node, Listing):
        names_in = {variable(item) for item in node.items}
        return names_in.pop() if len(names_in) == 1 else None
    return None


def unknown(relation: Relation) -> Node | None:
    """x, g(x) or a_n where a chain of relations bounds nothing else by constants; None otherwise."""
    varying = {side for side in relation.sides if symbols(side)}
    inner = varying.pop() if len(varying) == 1 else None
    return inner if isinstance(inner, (Sym, Named)) else None


def intervals(node: Node) -> list[Interval] | None:
    """The set as disjoint intervals in order, or None where it is not that simple."""
    found = _intervals(node)
    return None if found is None else merge(found)


def _intervals(node: Node) -> list[Interval] | None:
    if isinstance(node, Group) and len(node.items) == 2:
        low, high = map(real, node.items)
        if low is None or high is None or low > high:
            return None
        return [Interval(low, high, node.open == "[", node.close == "]")]
    if isinstance(node, Braces):
        values = [real(item) for item in node.items]
        return None if None in values else [Interval(v, v, True, True) for v in values]
    if isinstance(node, NamedSet):
        return _NAMED.get(node.name)
    if isinstance(node, SetOp):
        left, right = intervals(node.left), intervals(node.right)
        if left is None or right is None:
            return None
        if node.name == "union":
            return left + right
        return intersect(left, right if node.name == "intersection" else complement(right))
    if isinstance(node, Builder):
        return intervals(node.condition)
    if isinstance(node, Listing):
        return _joined(node)
    return _solve(node) if isinstance(node, Relation) else None


def _joined(node: Listing) -> list[Interval] | None:
    """Conditions joined by a word. Intervals are united; a comma between inequalities is "and" where some are left."""
    parts = [intervals(item) for item in node.items]
    if any(part is None for part in parts):
        return None
    known = [part for part in parts if part is not None]
    united = [interval for part in known for interval in part]
    if node.word == "or" or not all(isinstance(item, Relation) for item in node.items):
        return united
    common = known[0]
    for part in known[1:]:
        common = intersect(common, part)
    return common if common or (node.word == "and" and not united) else united


def _solve(node: Relation) -> list[Interval] | None:
    """Chains such as 1 < x <= 3, x != 2, x in [0, 1): one variable alone on its side, constants on the others."""
    if node.ops == ("in",):
        return intervals(node.sides[1])
    if node.ops == ("notin",):
        inside = intervals(node.sides[1])
        return None if inside is None else complement(inside)
    inner = unknown(node)
    if inner is None:
        return None
    result = [EVERYTHING]
    for left, op, right in zip(node.sides, node.ops, node.sides[1:], strict=False):
        if right == inner:
            left, op, right = right, _FLIP.get(op, ""), left
        bound = real(right)
        if left != inner or bound is None:
            return None
        ray = {
            "<": [Interval(-mpmath.inf, bound, False, False)],
            "<=": [Interval(-mpmath.inf, bound, False, not mpmath.isinf(bound))],
            ">": [Interval(bound, mpmath.inf, False, False)],
            ">=": [Interval(bound, mpmath.inf, not mpmath.isinf(bound), False)],
            "=": [Interval(bound, bound, True, True)],
            "!=": complement([Interval(bound, bound, True, True)]),
        }.get(op)
        if ray is None:
            return None
        result = intersect(result, ray)
    return result


def merge(parts: list[Interval]) -> list[Interval]:
    """In order, with touching and overlapping ones joined and empty ones dropped."""
    kept = [p for p in parts if p.low < p.high or (p.low == p.high and p.low_closed and p.high_closed)]
    merged: list[Interval] = []
    for part in sorted(kept, key=lambda p: (p.low, not p.low_closed)):
        last = merged[-1] if merged else None
        if (
            last is None
            or part.low > last.high
            or (part.low == last.high and not (part.low_closed or last.high_closed))
        ):
            merged.append(part)
        elif part.high > last.high:
            merged[-1] = replace(last, high=part.high, high_closed=part.high_closed)
        elif part.high == last.high:
            merged[-1] = replace(last, high_closed=last.high_closed or part.high_closed)
    return merged


def intersect(left: list[Interval], right: list[Interval]) -> list[Interval]:
    """The common part of two unions."""
    common = []
    for a in left:
        for b in right:
            low, high = max(a.low, b.low), min(a.high, b.high)
            low_closed = all(p.low_closed for p in (a, b) if p.low == low)
            high_closed = all(p.high_closed for p in (a, b) if p.high == high)
            common.append(Interval(low, high, low_closed, high_closed))
    return merge(common)


def complement(parts: list[Interval]) -> list[Interval]:
    """The real numbers outside."""
    gaps, low, closed = [], -mpmath.inf, False
    for part in merge(parts):
        gaps.append(Interval(low, part.low, closed, not part.low_closed and not mpmath.isinf(part.low)))
        low, closed = part.high, not part.high_closed
    gaps.append(Interval(low, mpmath.inf, closed and not mpmath.isinf(low), False))
    return merge(gaps)


def equal_sets(gold: Node, answer: Node) -> bool:
    """Whether both are the same set of reals; raises Undecided where one is not understood."""
    names = {variable(gold), variable(answer)} - {None}
    if len(names) > 1:
        return False
    left, right = intervals(gold), intervals(answer)
    if left is not None and right is not None:
        return len(left) == len(right) and all(
            close(a.low, b.low) and close(a.high, b.high)
            and (a.low_closed, a.high_closed) == (b.low_closed, b.high_closed)
            for a, b in zip(left, right, strict=True)
        )  # fmt: skip
    inside, within = membership(gold), membership(answer)
    if inside is None or within is None:
        raise Undecided("a set that is not understood")
    places = _places(left or []) + _places(right or []) + _GRID
    if any(inside(x, AGREEMENT) != within(x, AGREEMENT) for x in places):
        return False
    ends = [end for test in (inside, within) for end in _ends(test)]
    if any(inside(end, AGREEMENT - 8) != within(end, AGREEMENT - 8) for end in ends):
        return False
    return all(inside(x, AGREEMENT) == within(x, AGREEMENT) for end in ends for x in _around(end))


_NEAR = mpmath.mpf(10) ** -9
_HALVINGS = 150  # of a gap in the grid: 45 digits
_GRID = [mpmath.mpf(k) / 4 for k in (*range(-20, 21), *range(-80, 81, 4), 1000, -1000)] + [
    mpmath.mpf(s * 10**k) / 7 for k in range(1, 7) for s in (-1, 1)
]


def _ends(test: Membership) -> list[Value]:
    """Where a set begins or ends between two points of the grid, to about as many digits as `close` compares."""
    ends = []
    for low, high in pairwise(sorted(_GRID)):
        below = test(low + _NEAR, AGREEMENT)
        if below == test(high - _NEAR, AGREEMENT):  # no end, or one at a point of the grid
            continue
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if test(middle, AGREEMENT) == below else (low, middle)
        ends.append((low + high) / 2)
    return ends


def _around(end: Value) -> list[Value]:
    """Neighbours on both sides, some near and some far."""
    return [end + sign * mpmath.mpf(10) ** -exponent for sign in (-1, 1) for exponent in (3, 6, 9, 12)]


def _places(parts: list[Interval]) -> list[Value]:
    """Ends, points close to them, and middles."""
    ends = [end for part in parts for end in (part.low, part.high) if not mpmath.isinf(end)]
    near = [end + sign * mpmath.mpf(10) ** -9 for end in ends for sign in (-1, 1)]
    return ends + near + [(a + b) / 2 for a, b in pairwise(ends)]


def membership(node: Node) -> Membership | None:
    """A test of whether a real number is in the set, for one-variable conditions of any form; None for others."""
    parts = intervals(node)
    if parts is not None:
        return lambda x, digits: any(part.holds(x, digits) for part in parts)
    if isinstance(node, Builder):
        return membership(node.condition)
    if isinstance(node, SetOp):
        left, right = membership(node.left), membership(node.right)
        if left is None or right is None:
            return None
        return {
            "union": lambda x, digits: left(x, digits) or right(x, digits),
            "intersection": lambda x, digits: left(x, digits) and right(x, digits),
            "difference": lambda x, digits: left(x, digits) and not right(x, digits),
        }[node.name]
    if isinstance(node, Listing):
        tests = [membership(item) for item in node.items]
        if any(test is None for test in tests):
            return None
        known = [test for test in tests if test is not None]
        enough = any if node.word == "or" else all
        return lambda x, digits: enough(test(x, digits) for test in known)
    names = symbols(node)
    name = next(iter(names)) if len(names) == 1 else None
    if (
        isinstance(node, Relation)
        and name is not None
        and not _by_name_only(node)
        and all(op in _FLIP for op in node.ops)
    ):
        return lambda x, digits: _satisfies(node, name, x, digits)
    return None


def _by_name_only(node: Node) -> bool:
    """Whether a function occurs of which only the name is known."""
    return isinstance(node, Named) or any(map(_by_name_only, children(node)))


def _satisfies(node: Relation, name: str, x: Value, digits: int) -> bool:
    try:
        sides = [value(side, {name: x}) for side in node.sides]
    except (Undefined, NoValue, KeyError, ValueError, ArithmeticError):
        return False
    if any(isinstance(side, mpmath.mpc) for side in sides):
        return False
    for left, op, right in zip(sides, node.ops, sides[1:], strict=False):
        same = close(left, right, digits)
        holds = {"<": left < right and not same, "<=": left < right or same, ">": left > right and not same,
                 ">=": left > right or same, "=": same, "!=": not same}[op]  # fmt: skip
        if not holds:
            return False
    return True
