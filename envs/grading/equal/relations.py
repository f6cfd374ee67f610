"""Equations and inequalities: what a named value is, and when two relations say the same."""

from __future__ import annotations

from fractions import Fraction

import mpmath

from envs.grading.equal.algebra import Undecided, difference, equal_expressions, proportional
from envs.grading.equal.exact import Undefined, exact
from envs.grading.equal.numeric import NoValue, value
from envs.grading.equal.policy import Policy
from envs.grading.equal.sets import INEQUALITIES
from envs.grading.guard import TooCostly
from envs.grading.read.nodes import (
    Call,
    Colon,
    Group,
    Listing,
    Named,
    NameKind,
    Node,
    Num,
    Quantity,
    Relation,
    Sym,
    Words,
    children,
    computes,
    mentions,
    symbols,
)

_OF_NAMES = {"abs", "min", "max", "arg", "Re", "Im", "gcd", "lcm", "det"}  # |AB| names a length
_OF_CALCULUS = ("sum", "prod", "int", "lim", "diff")
_ROUNDED = Policy(rounding_digits=2)
_TURN = {">": "<", ">=": "<="}


def is_name(node: Node) -> bool:
    """Whether a left side only names what the right side is: x, x_1, f(x), S_n, AB, (x, y), |AB|, A:B, words."""
    if isinstance(node, Sym):
        return bool(symbols(node))
    if isinstance(node, Words):
        return True
    if isinstance(node, (Group, Listing)):
        return all(map(is_name, node.items))
    if isinstance(node, Colon):
        return all(map(is_name, node.parts))
    if isinstance(node, Quantity):
        return is_name(node.value)
    if isinstance(node, Named):
        return True
    if not isinstance(node, Call):
        return False
    if node.name == "*":
        return all(map(_is_letters, node.args))
    if node.name == "/":  # of two segments or areas
        return all(isinstance(arg, Call) and arg.name == "*" and _is_letters(arg) for arg in node.args)
    return node.name in _OF_NAMES and all(map(is_name, node.args))


def _is_letters(node: Node) -> bool:
    """Products of capital letters name a segment, an angle or an area."""
    if isinstance(node, Sym):
        return node.name[0].isupper() and bool(symbols(node))
    return isinstance(node, Call) and node.name == "*" and all(map(_is_letters, node.args))


def exact_part(node: Node) -> Node:
    """Without what follows an approximation sign, unless only a name stands before it: x ≈ 3.14."""
    if isinstance(node, Relation) and "~" in node.ops:
        cut = node.ops.index("~")
        if cut == 0:
            return Relation(node.sides, ("=",)) if len(node.sides) == 2 and is_name(node.sides[0]) else node.sides[0]
        return Relation(node.sides[: cut + 1], node.ops[:cut])
    return node


def approximate_part(node: Node) -> Node | None:
    """What follows the last approximation sign, unless it is a number that the one before does not round to."""
    if not isinstance(node, Relation) or not node.ops or node.ops[-1] != "~":
        return None
    exact_side, rounded = node.sides[-2:]
    return rounded if not (_is_plain(exact_side) and _is_plain(rounded)) or _rounds_to(exact_side, rounded) else None


def _rounds_to(node: Node, rounded: Node) -> bool:
    """Whether two numbers differ by less than a unit of the second one's last digit: 10/3 is about 3.33, 3 or 4."""
    try:
        number, written = value(node, {}), value(rounded, {})
        exact_value = exact(rounded)
    except (Undefined, NoValue, KeyError, TooCostly, ValueError, ArithmeticError):
        return True  # not two numbers
    if exact_value is None:
        return bool(abs(number - written) < abs(number) / 1000)
    unit = Fraction(1)
    while (exact_value / unit).denominator > 1 and unit > Fraction(1, 10**12):
        unit /= 10
    while exact_value and (exact_value / unit / 10).denominator == 1:
        unit *= 10
    distance, limit = abs(number - written), min(abs(number) / 10, mpmath.mpf(unit.numerator) / (2 * unit.denominator))
    return bool(distance <= limit or (unit <= 1 and distance < mpmath.mpf(unit.numerator) / unit.denominator))


def named(node: Node) -> tuple[Node | None, Node]:
    """(name, value) of `x = 5`, `f(x) = 2x`, `x in S`, `3 = sqrt 9`; (None, node) where the whole is the answer."""
    if not isinstance(node, Relation):
        return None, node
    if node.ops == ("in",) or node.ops == ("->",):
        return (node.sides[0], node.sides[1]) if is_name(node.sides[0]) else (None, node)
    *heads, last = node.sides
    first = heads[0]
    if node.ops == ("===",) and isinstance(last, Quantity):
        return (first, last) if is_name(first) or not symbols(first) else (None, node)
    if any(op != "=" for op in node.ops):
        return None, node
    if len(heads) == 1 and not symbols(first) and symbols(last) and is_name(last):
        return last, first  # 5 = x
    steps = [side for side in heads if not is_name(side)]  # a calculation, such as 3 + 4 in x = 3 + 4 = 7
    if not any(map(symbols, steps)) and (not steps or not symbols(last)):
        agrees = is_name(first) or all(_may_equal(step, last) for step in steps)
        return (first, last) if agrees else (None, node)
    if len(heads) == 1 and computes(first) and not computes(last) and _is_result(first, last):
        return first, last
    return None, node


def _is_result(operation: Node, result: Node) -> bool:
    """Whether an equation carries an operation out, such as a sum up to n; n! = 24 asks for n."""
    if not symbols(operation) or symbols(operation) != symbols(result):
        return False
    return any(mentions(operation, name) for name in _OF_CALCULUS) or _may_equal(operation, result)


def _may_equal(left: Node, right: Node) -> bool:
    """False for two numbers, or expressions of the same variables, that differ by more than rounding."""
    if not (_is_plain(left) and _is_plain(right)):
        return True
    try:
        return symbols(left) == symbols(right) and equal_expressions(left, right, _ROUNDED)
    except (Undecided, TooCostly):
        return True


def _is_plain(node: Node) -> bool:
    """Numbers and operations on them alone."""
    return isinstance(node, (Num, Sym, Call, Named)) and all(map(_is_plain, children(node)))


def comparable_names(left: Node, right: Node) -> bool:
    """Whether two names may stand for the same: equal, or one with an index or argument that the other leaves out."""
    if left == right:
        return True
    if _letter(left) == _letter(right) is not None:
        return not (_is_indexed(left) and _is_indexed(right))
    kinds = {isinstance(name, Named) and name.kind is NameKind.FUNCTION for name in (left, right)}
    return kinds == {True, False} and any(isinstance(name, Sym) for name in (left, right))  # y and f(x)


def _is_indexed(node: Node) -> bool:
    """x_1, a_5, f(3): a name with an index or argument that tells it from others."""
    if isinstance(node, Sym):
        return "_" in node.name
    return isinstance(node, Named) and not any(map(symbols, node.args))


def _letter(node: Node) -> str | None:
    if isinstance(node, Sym):
        return node.name.partition("_")[0]
    if isinstance(node, Named):
        return node.name.partition("_")[0]
    return None


def equal_relations(gold: Relation, answer: Relation) -> bool:
    """Equations equal up to a constant factor, inequalities up to one whose sign turns them; raises Undecided."""
    left, right = _two_sided(gold), _two_sided(answer)
    if len(left) != len(right):
        return False
    if len(left) > 1:
        unmatched = list(right)
        for one in left:
            match = next((other for other in unmatched if _equal_pair(one, other)), None)
            if match is None:
                return False
            unmatched.remove(match)
        return True
    return _equal_pair(left[0], right[0])


def _two_sided(relation: Relation) -> list[Relation]:
    return [Relation((a, b), (op,)) for a, op, b in zip(relation.sides, relation.ops, relation.sides[1:], strict=False)]


def _oriented(relation: Relation) -> Relation:
    op = relation.ops[0]
    return Relation(relation.sides[::-1], (_TURN[op],)) if op in _TURN else relation


def _equal_pair(gold: Relation, answer: Relation) -> bool:
    gold, answer = _oriented(gold), _oriented(answer)
    if gold == answer:
        return True
    op = gold.ops[0]
    if op != answer.ops[0]:
        return False
    if op not in INEQUALITIES and op != "=":
        raise Undecided(f"a relation {op}")
    names = sorted(symbols(gold) | symbols(answer))
    if not names:
        return False
    ratio = proportional(difference(gold), difference(answer), names)
    if ratio is None:
        return False
    if op in ("=", "!="):
        return True
    return bool(not isinstance(ratio, mpmath.mpc) and ratio > 0)
