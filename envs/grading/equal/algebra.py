"""Equality of expressions: exact where both are rational, else at high precision at several fixed points.

A float never proves equality: 60 digits are compared to 40, and an identity must hold at several generic points
where both sides are real.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction

import mpmath
from mpmath import mp

from envs.grading.equal.exact import Undefined, exact
from envs.grading.equal.numeric import DIGITS, NoValue, Point, Value, value
from envs.grading.equal.policy import Policy
from envs.grading.guard import TooCostly
from envs.grading.read.nodes import (
    Call,
    Node,
    Num,
    Relation,
    children,
    mentions,
    symbols,
)

AGREEMENT = 40  # of the DIGITS that must agree
MAX_SCALE = 2_000  # decimal digits before or after the point of a value that is compared to its last digit
POINTS = 3  # at which an identity in one variable must hold; with more, every pattern of signs has its point
_Range = tuple[int, int]
_Ranges = tuple[_Range, _Range, _Range]  # of the first variable, and in turn of the second and the others
_FIRST, _SECOND = (-4, -1), (0, 1)
_RANGES: list[_Ranges] = [  # of each point
    ((1, 3), (1, 3), (1, 3)), ((3, 7), (3, 7), (3, 7)), (_FIRST, _SECOND, _FIRST), (_SECOND, _FIRST, _SECOND),
    ((-9, -2), (-9, -2), (-9, -2)), (_FIRST, (1, 2), (1, 2)), ((7, 20), (2, 5), (20, 60)),
    ((-1, 0), (-1, 0), (-1, 0)), ((20, 60), (20, 60), (7, 20)), ((100, 999), (60, 200), (200, 500)),
    ((-300, -100), (-900, -300), (-99, -60)),
]  # fmt: skip
_SIGN_PATTERNS = 6  # of the ranges, which two or more variables need
_STEPPED = {"floor", "ceil", "mod"}
_PIECEWISE = {"abs", "max", "min", "root", "sign", "sgn"} | _STEPPED
_STEPS = 60  # further points for functions that are constant between steps


class Undecided(Exception):
    """Neither equality nor difference could be shown; the message says why."""


def equal_expressions(gold: Node, answer: Node, policy: Policy) -> bool:
    """Whether both have the same value for all values of their variables; raises Undecided and TooCostly."""
    if gold == answer:
        return True
    names = symbols(gold) | symbols(answer)
    if not policy.unreduced_fractions and not reduced(answer):
        return False
    if not names:
        return equal_constants(gold, answer, policy)
    return identical(gold, answer, sorted(names))


def reduced(node: Node) -> bool:
    """Whether no fraction of two integers in it can be cancelled."""
    if isinstance(node, Call) and node.name == "/" and all(isinstance(arg, Num) for arg in node.args):
        top, bottom = (arg.value for arg in node.args if isinstance(arg, Num))
        if top.denominator == bottom.denominator == 1 and math.gcd(top.numerator, bottom.numerator) > 1:
            return False
    return all(map(reduced, children(node)))


def equal_constants(gold: Node, answer: Node, policy: Policy) -> bool:
    """Rational values exactly, others to 40 digits; a long decimal may round an exact value."""
    try:
        left, right = exact(gold), exact(answer)
    except Undefined:
        return False
    if left is not None and right is not None and left == right:
        return True
    for decimal, other in ((gold, answer), (answer, gold)):
        if rounds(decimal, other, policy):
            return True
    if left is not None and right is not None:
        return False
    try:
        digits = _agreement(gold, answer)
        return close(value(gold, {}), value(answer, {}), digits) and (
            digits < AGREEMENT or _confirmed(gold, answer, {})
        )
    except Undefined:
        return False
    except (NoValue, KeyError) as error:
        raise Undecided(f"no value: {error}") from None
    except (ValueError, ZeroDivisionError, OverflowError, ArithmeticError) as error:
        raise Undecided(f"no value: {type(error).__name__}") from None


def rounds(decimal: Node, other: Node, policy: Policy) -> bool:
    """Whether `decimal`, a decimal as written, is `other` rounded or cut off at its last digit.

    Needs `rounding_digits` significant digits, and an `other` whose own decimals do not end; two decimals agree
    only up to the noise of double precision.
    """
    sign = 1
    while isinstance(decimal, Call) and decimal.name == "neg":
        decimal, sign = decimal.args[0], -sign
    if not isinstance(decimal, Num) or decimal.digits is None or decimal.digits < policy.rounding_digits:
        return False
    written = sign * decimal.value
    if written == 0:
        return False
    magnitude = len(str(abs(int(written)))) if abs(written) >= 1 else 1 - len(str(int(1 / abs(written))))
    unit = mpmath.mpf(10) ** (magnitude - decimal.digits)
    try:
        value_exact = exact(other)
        if value_exact is not None:
            bottom = value_exact.denominator
            while bottom % 2 == 0:
                bottom //= 2
            while bottom % 5 == 0:
                bottom //= 5
            if bottom == 1:
                difference = abs(value_exact - written)
                return decimal.digits >= 15 and value_exact.denominator > 1 and difference * 10**14 < abs(value_exact)
        target = value(other, {})
    except (Undefined, NoValue, KeyError, ValueError, ArithmeticError):
        return False
    if isinstance(target, mpmath.mpc) or not mpmath.isfinite(target):
        return False
    return bool(abs(target - mpmath.mpf(written.numerator) / written.denominator) < unit)


def identical(gold: Node, answer: Node, names: Sequence[str]) -> bool:
    """Whether two expressions agree at several points where both are real (or anywhere, with i in them)."""
    complex_wanted = mentions(gold, "i") or mentions(answer, "i")
    agreed = skipped = 0
    last: Point = {}
    digits = _agreement(gold, answer)
    wanted, ranges = _needed((gold, answer), names)
    for point in points(names, ranges):
        try:
            left, right = value(gold, point), value(answer, point)
        except (Undefined, ValueError, ZeroDivisionError, OverflowError):
            continue
        except TooCostly:
            if agreed < POINTS:
                raise
            continue
        except (NoValue, KeyError) as error:
            raise Undecided(f"no value: {error}") from None
        if not complex_wanted and (_is_complex(left) or _is_complex(right)):
            skipped += 1
            continue
        if not close(left, right, digits):
            return False
        agreed += 1
        last = point
        if agreed == wanted:
            break
    if agreed:
        return digits < AGREEMENT or _confirmed(gold, answer, last)
    if skipped:
        return _identical_at_integers(gold, answer, names)
    raise Undecided("no point at which both sides have a value")


def _identical_at_integers(gold: Node, answer: Node, names: Sequence[str]) -> bool:
    """For expressions that are real at integers only, such as (-1)^n."""
    for n in range(1, 6):
        point = {name: mpmath.mpf(n + k) for k, name in enumerate(names)}
        try:
            if not close(value(gold, point), value(answer, point)):
                return False
        except (Undefined, NoValue, KeyError, ValueError, ArithmeticError) as error:
            raise Undecided(f"no value: {error}") from None
    return True


def points(names: Sequence[str], ranges: Sequence[_Ranges] = _RANGES) -> Iterator[Point]:
    """Fixed generic points, a function of the variables' names and the ranges alone."""
    for number, row in enumerate(ranges):
        yield {name: _between(*row[min(place, 2 - place % 2)], f"{name} {number}") for place, name in enumerate(names)}


def _between(low: int, high: int, key: str) -> Value:
    return low + (high - low) * mpmath.mpf(zlib.crc32(key.encode()) % 999983 + 1) / 1000003


def _needed(nodes: Sequence[Node], names: Sequence[str]) -> tuple[int, Sequence[_Ranges]]:
    """(points at which both must agree, ranges of all points).

    Of functions in pieces, points on both sides of every constant, and many between steps, must all agree.
    """
    pieces = {call.name for node in nodes for call in _pieces(node)}
    if not pieces:
        return POINTS if len(names) == 1 else _SIGN_PATTERNS, _RANGES
    reach = 1 + max((abs(int(n)) for node in nodes for n in _constants(node)), default=0)
    above, below = (reach, 3 * reach), (-3 * reach, -reach)
    ranges = [*_RANGES, (above, above, above), (below, below, below), (above, below, above), (below, above, below)]
    if pieces & _STEPPED:
        ranges += [((-30, 30), (-30, 30), (-30, 30))] * _STEPS
    return len(ranges), ranges


def _constants(node: Node) -> Iterator[Fraction]:
    """The numbers in it that are not too large for a generic point."""
    if isinstance(node, Num) and abs(node.value) < 10**9:
        yield node.value
    for child in children(node):
        yield from _constants(child)


def _pieces(node: Node) -> Iterator[Call]:
    """The calls of functions in pieces that depend on a variable."""
    if isinstance(node, Call) and node.name in _PIECEWISE and symbols(node):
        yield node
    for child in children(node):
        yield from _pieces(child)


def _is_complex(x: Value) -> bool:
    return isinstance(x, mpmath.mpc) and abs(x.imag) > mpmath.mpf(10) ** -AGREEMENT * (1 + abs(x.real))


def close(a: Value, b: Value, digits: int = AGREEMENT) -> bool:
    """Equal to so many digits, relative to the larger; smaller differences than 1e-5 of that are none."""
    if mpmath.isinf(a) or mpmath.isinf(b):
        return bool(a == b)
    difference, unit = abs(a - b), mpmath.mpf(10) ** -digits
    return bool(difference <= unit * max(abs(a), abs(b)) or difference < unit / 100_000)


def _agreement(*nodes: Node) -> int:
    """Digits that must agree: fewer where a limit, an integral or an infinite series is computed."""
    return (
        12
        if any(mentions(node, name) for node in nodes for name in ("int", "lim", "diff", "sum", "prod"))
        else AGREEMENT
    )


def _confirmed(gold: Node, answer: Node, point: Point) -> bool:
    """Equal also with more digits than the value is long: 2^1000 + 1 is not 2^1000, and 10^-99 is not 0."""
    size = abs(value(gold, point))
    if mpmath.isinf(size):
        return True
    scale = 0 if size == 0 else int(abs(mpmath.log10(size)))
    if scale > MAX_SCALE:
        raise Undecided("values too large to compare to the last digit")
    digits = 2 * scale + 2 * DIGITS
    with mp.workdps(digits + DIGITS // 2):
        left, right = value(gold, point), value(answer, point)
        largest = max(abs(left), abs(right))
        return bool(largest < mpmath.mpf(10) ** -digits or abs(left - right) <= largest * mpmath.mpf(10) ** -digits)


def proportional(gold: Node, answer: Node, names: Sequence[str]) -> Value | None:
    """The constant c != 0 with gold = c * answer at all points, or None; raises Undecided."""
    ratio: Value | None = None
    agreed = 0
    wanted, ranges = _needed((gold, answer), names)
    wanted += 1
    for point in points(names, ranges):
        try:
            left, right = value(gold, point), value(answer, point)
        except (Undefined, ValueError, ZeroDivisionError, OverflowError):
            continue
        except (NoValue, KeyError) as error:
            raise Undecided(f"no value: {error}") from None
        if abs(right) < mpmath.mpf(10) ** -40 or abs(left) < mpmath.mpf(10) ** -40:
            if abs(left - right) < mpmath.mpf(10) ** -40:
                continue
            return None
        if ratio is not None and not close(left / right, ratio):
            return None
        ratio = left / right
        agreed += 1
        if agreed == wanted:
            return ratio
    if agreed > 1:
        return ratio
    raise Undecided("no points at which both sides have a value")


def difference(relation: Relation) -> Node:
    """left - right of a relation with two sides."""
    left, right = relation.sides
    return Call("+", (left, Call("neg", (right,))))
