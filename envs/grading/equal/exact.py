"""Exact rational values of constant expressions, within the guard's bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

from envs.grading.guard import MAX_BITS, MAX_FACTORIAL, MAX_TERMS, TooCostly
from envs.grading.read.nodes import Based, Call, Node, Num, Quantity, Sym

Bindings = dict[str, Fraction]


class Undefined(Exception):
    """The expression has no value: a division by zero, or an argument outside a function's domain."""


def exact(node: Node, bindings: Bindings | None = None) -> Fraction | None:
    """The rational value, or None where it has none that this module finds; raises TooCostly and Undefined."""
    if isinstance(node, Num):
        return node.value
    if isinstance(node, Based):
        return Fraction((-1 if node.negative else 1) * int(node.digits, node.base))
    if isinstance(node, Quantity):
        value = exact(node.value, bindings)
        return value / 100 if value is not None and node.unit == "percent" else None if node.unit == "degree" else value
    if isinstance(node, Sym):
        return bindings.get(node.name) if bindings else None
    if not isinstance(node, Call):
        return None
    if node.name in ("sum", "prod"):
        return _series(node, bindings or {})
    rule = _RULES.get(node.name)
    if rule is None:
        return None
    values = [exact(arg, bindings) for arg in node.args]
    if node.name == "*" and Fraction(0) in values and None in values:
        return None
    if any(value is None for value in values):
        return None
    return _bounded(rule(*values))


def _bounded(value: Fraction | None) -> Fraction | None:
    if value is not None and max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise TooCostly(f"a number of more than {MAX_BITS} bits")
    return value


def _divide(a: Fraction, b: Fraction) -> Fraction:
    if b == 0:
        raise Undefined("a division by zero")
    return a / b


def power(a: Fraction, b: Fraction) -> Fraction | None:
    """a^b where it is rational; raises TooCostly when the result is too large."""
    if b.denominator != 1:
        root = _root(a, Fraction(b.denominator))
        return None if root is None else power(root, Fraction(b.numerator))
    exponent = b.numerator
    if a == 0 and exponent < 0:
        raise Undefined("a division by zero")
    size = max(a.numerator.bit_length(), a.denominator.bit_length())
    if abs(a) != 1 and a != 0 and size * abs(exponent) > MAX_BITS:
        return None  # `numeric` may still tell its size
    return a**exponent


def integer_root(value: int, degree: int) -> int | None:
    """The exact `degree`-th root of a non-negative integer, or None."""
    if degree == 2:
        root = math.isqrt(value)
    elif value < 2:
        root = value
    elif degree > value.bit_length():
        return None
    else:
        root = 1 << -(-value.bit_length() // degree)  # Newton from above
        while True:
            lower = ((degree - 1) * root + value // root ** (degree - 1)) // degree
            if lower >= root:
                break
            root = lower
    return root if root**degree == value else None


def _root(value: Fraction, degree: Fraction) -> Fraction | None:
    """The real root where it is rational; even roots of negative numbers are none."""
    if degree.denominator != 1 or not 0 < degree <= 1000:
        return None
    order = degree.numerator
    sign = 1
    if value < 0:
        if order % 2 == 0:
            return None
        sign, value = -1, -value
    top, bottom = integer_root(value.numerator, order), integer_root(value.denominator, order)
    return None if top is None or bottom is None else Fraction(sign * top, bottom)


def _natural(value: Fraction, bound: int) -> int | None:
    if value.denominator != 1 or value < 0:
        return None
    if value > bound:
        raise TooCostly(f"a factorial beyond {bound}")
    return value.numerator


def _factorial(value: Fraction) -> Fraction | None:
    n = _natural(value, MAX_FACTORIAL)
    return None if n is None else Fraction(math.factorial(n))


def _double_factorial(value: Fraction) -> Fraction | None:
    n = _natural(value, MAX_FACTORIAL // 4)
    return None if n is None else Fraction(math.prod(range(n, 0, -2)))


def _binomial(n: Fraction, k: Fraction) -> Fraction | None:
    if n.denominator != 1 or k.denominator != 1:
        return None
    if k < 0 or (0 <= n < k):
        return Fraction(0)
    if n < 0:
        return None
    if min(k, n - k) > MAX_FACTORIAL // 2 or n > 10**9:
        raise TooCostly("a binomial coefficient that is too large")
    return Fraction(math.comb(n.numerator, min(k, n - k).numerator))


def _permutations(n: Fraction, k: Fraction) -> Fraction | None:
    if n.denominator != 1 or k.denominator != 1 or n < 0 or not 0 <= k <= MAX_FACTORIAL // 2 or n > 10**9:
        return None
    return Fraction(math.perm(n.numerator, k.numerator))


def _modulo(a: Fraction, b: Fraction) -> Fraction:
    if b == 0:
        raise Undefined("a division by zero")
    return a % b


def _log(value: Fraction, base: Fraction | None = None) -> Fraction | None:
    """Rational logarithms with a small denominator only, found by powers; natural ones are none."""
    if base is None:
        return Fraction(0) if value == 1 else None
    if value <= 0 or base <= 0 or base == 1:
        raise Undefined("a logarithm outside its domain")
    if max(value.numerator.bit_length(), value.denominator.bit_length(), base.numerator.bit_length()) > 4000:
        return None
    for bottom in (1, 2, 3, 4, 5, 6):
        estimate = round(bottom * (math.log(value.numerator) - math.log(value.denominator)) / (
            math.log(base.numerator) - math.log(base.denominator)))  # fmt: skip
        if abs(estimate) < 5000 and base**estimate == value**bottom:
            return Fraction(estimate, bottom)
    return None


def _integers(function: Callable[..., int]) -> Callable[..., Fraction | None]:
    def rule(*values: Fraction) -> Fraction | None:
        if any(value.denominator != 1 for value in values):
            return None
        return Fraction(function(*(value.numerator for value in values)))

    return rule


def _series(node: Call, bindings: Bindings) -> Fraction | None:
    """A finite sum or product with integer bounds, term by term."""
    index, low, high, body = node.args
    assert isinstance(index, Sym)
    first, last = exact(low, bindings), exact(high, bindings)
    if first is None or last is None or first.denominator != 1 or last.denominator != 1:
        return None
    if last - first > MAX_TERMS:
        raise TooCostly(f"a sum of more than {MAX_TERMS} terms")
    total = Fraction(0 if node.name == "sum" else 1)
    for k in range(first.numerator, last.numerator + 1):
        term = exact(body, {**bindings, index.name: Fraction(k)})
        if term is None:
            return None
        total = total + term if node.name == "sum" else total * term
        _bounded(total)
    return total


_RULES: dict[str, Callable[..., Fraction | None]] = {
    "+": lambda a, b: a + b,
    "neg": lambda a: -a,
    "*": lambda a, b: a * b,
    "/": _divide,
    "^": power,
    "root": _root,
    "abs": abs,
    "factorial": _factorial,
    "double_factorial": _double_factorial,
    "binom": _binomial,
    "permutations": _permutations,
    "mod": _modulo,
    "floor": lambda a: Fraction(math.floor(a)),
    "ceil": lambda a: Fraction(math.ceil(a)),
    "max": lambda *values: max(values),
    "min": lambda *values: min(values),
    "gcd": _integers(math.gcd),
    "lcm": _integers(math.lcm),
    "log": _log,
    "sign": lambda a: Fraction((a > 0) - (a < 0)),
    "sgn": lambda a: Fraction((a > 0) - (a < 0)),
}
