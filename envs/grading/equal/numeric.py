"""Values at high precision: of constants to refute or confirm, of expressions with symbols at chosen points."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import mpmath
from mpmath import mp

from envs.grading.equal.exact import Undefined, exact
from envs.grading.guard import MAX_TERMS, TooCostly
from envs.grading.read.nodes import Based, Call, Matrix, Named, Node, Num, Quantity, Sym

DIGITS = 60  # of the working precision
Value = Any  # mpf or mpc
Point = dict[str, Value]

_MAX_EXPONENT = 2.0**31  # bits of a value's magnitude
_CALCULUS_DIGITS = 30


class NoValue(Exception):
    """The node is no number: a set, words, a tuple within an expression."""


mp.dps = DIGITS


def constant(node: Node) -> Value:
    """The value of an expression without symbols."""
    return value(node, {})


def value(node: Node, point: Point) -> Value:
    """The value at a point; raises NoValue, Undefined, TooCostly or KeyError for an unbound symbol."""
    if isinstance(node, Num):
        return mpmath.mpf(node.value.numerator) / node.value.denominator
    if isinstance(node, Sym):
        constant_value = _CONSTANTS.get(node.name)
        return point[node.name] if constant_value is None else constant_value()
    if isinstance(node, Call):
        return _call(node, point)
    if isinstance(node, Named):
        return _hashed(f"{node.kind.value}:{node.name}", [value(arg, point) for arg in node.args])
    if isinstance(node, Quantity):
        inner = value(node.value, point)
        if node.unit == "percent":
            return inner / 100
        return inner * mp.pi / 180 if node.unit == "degree" else inner
    if isinstance(node, Based):
        return mpmath.mpf(int(node.digits, node.base)) * (-1 if node.negative else 1)
    raise NoValue(type(node).__name__)


def _call(node: Call, point: Point) -> Value:
    name, args = node.name, node.args
    if name in ("sum", "prod"):
        return _series(node, point)
    if name in ("int", "lim", "diff"):
        return _calculus(node, point)
    if name == "det":
        return _determinant(args[0], point)
    if name == "^":
        return _power(value(args[0], point), args[1], point)
    if name in ("factorial", "binom", "double_factorial", "permutations") and not point:
        rational = exact(node)
        if rational is not None:
            return mpmath.mpf(rational.numerator) / rational.denominator
    function = _FUNCTIONS.get(name)
    if function is None and name in ("gcd", "lcm"):
        return _hashed(name, sorted(value(arg, point) for arg in args))
    if function is None:
        raise NoValue(name)
    return _finite(function(*(value(arg, point) for arg in args)))


def _finite(result: Value) -> Value:
    if isinstance(result, mpmath.mpc) and result.imag == 0:
        result = result.real
    if mpmath.isnan(result):
        raise Undefined("no value")
    return result


def _power(base: Value, exponent_node: Node, point: Point) -> Value:
    exponent = value(exponent_node, point)
    if mpmath.isinf(base) or mpmath.isinf(exponent):
        raise Undefined("a power of infinity")
    if base == 0:
        if mpmath.re(exponent) <= 0 and exponent != 0:
            raise Undefined("a division by zero")
        return mpmath.mpf(1) if exponent == 0 else mpmath.mpf(0)
    size = abs(float(mpmath.log(abs(base), 2))) * float(min(abs(exponent), mpmath.mpf(10) ** 300))
    if size > _MAX_EXPONENT:
        raise TooCostly("a power that is too large")
    if isinstance(base, mpmath.mpf) and base < 0 and isinstance(exponent_node, Call) and exponent_node.name == "/":
        odd = exact(exponent_node)
        if odd is not None and odd.denominator % 2:  # the real root, as school has it
            root = mpmath.root(-base, odd.denominator)
            return (-root) ** odd.numerator
    return _finite(mpmath.power(base, exponent))


def _root(base: Value, degree: Value) -> Value:
    if degree == 0 or mpmath.isinf(base):
        raise Undefined("a root of degree 0, or of infinity")
    if isinstance(base, mpmath.mpf) and base < 0 and degree == int(mpmath.re(degree)) and int(mpmath.re(degree)) % 2:
        return -mpmath.power(-base, 1 / degree)
    return _finite(mpmath.sqrt(base) if degree == 2 else mpmath.power(base, 1 / degree))


def _divide(a: Value, b: Value) -> Value:
    if b == 0:
        raise Undefined("a division by zero")
    return a / b


def _log(x: Value, base: Value | None = None) -> Value:
    if x == 0 or base in (0, 1):
        raise Undefined("a logarithm outside its domain")
    return mpmath.log(x) if base is None else mpmath.log(x) / mpmath.log(base)


def _exp(x: Value) -> Value:
    if abs(x) > _MAX_EXPONENT:
        raise TooCostly("an exponential that is too large")
    return mpmath.exp(x)


def _trigonometric(function: Callable[[Value], Value]) -> Callable[[Value], Value]:
    def rule(x: Value) -> Value:
        if abs(x) > mpmath.mpf(10) ** 40:
            raise TooCostly("a trigonometric function of a huge argument")
        try:
            result = function(x)
        except (ZeroDivisionError, ValueError):
            raise Undefined("a function outside its domain") from None
        if abs(result) > mpmath.mpf(10) ** (DIGITS - 15) and abs(x) < 100:
            raise Undefined("a pole")  # tan(pi/2), where pi is rounded
        return result

    return rule


def _gamma(x: Value) -> Value:
    if abs(x) > 10**7:
        raise TooCostly("a factorial that is too large")
    try:
        return mpmath.gamma(x)
    except ValueError:
        raise Undefined("a factorial of a negative integer") from None


def _binomial(n: Value, k: Value) -> Value:
    return _gamma(n + 1) / (_gamma(k + 1) * _gamma(n - k + 1))


def _hashed(name: str, values: list[Value]) -> Value:
    """A fixed pseudo-random number for an unknown function at these arguments: equal arguments, equal value."""
    text = name + "".join(f"|{mpmath.nstr(mpmath.mpc(v), 15)}" for v in values)
    return 1 + mpmath.mpf(zlib.crc32(text.encode()) * 4294967296 + zlib.crc32(text[::-1].encode())) / 2**64


def _series(node: Call, point: Point) -> Value:
    """Finite sums term by term; infinite ones by extrapolation; with a symbol in a bound, a value that only equal
    bodies and bounds share."""
    index, low, high, body = node.args
    assert isinstance(index, Sym)
    first, last = value(low, point), value(high, point)
    if any(isinstance(v, mpmath.mpc) for v in (first, last)):
        raise Undefined("complex bounds")
    if mpmath.isinf(last):
        with mpmath.workdps(_CALCULUS_DIGITS):
            total = (mpmath.nsum if node.name == "sum" else mpmath.nprod)(
                lambda k: value(body, {**point, index.name: k}), [first, mp.inf]
            )
            return _finite(total)
    if first != int(first) or last != int(last):
        samples = [value(body, {**point, index.name: mpmath.mpf(k) / 7}) for k in (9, 23)]
        return _hashed(node.name, [first, last, *samples])
    if last - first > MAX_TERMS:
        raise TooCostly(f"a sum of more than {MAX_TERMS} terms")
    total = mpmath.mpf(0 if node.name == "sum" else 1)
    for k in range(int(first), int(last) + 1):
        term = value(body, {**point, index.name: mpmath.mpf(k)})
        total = total + term if node.name == "sum" else total * term
    return total


def _calculus(node: Call, point: Point) -> Value:
    variable, *bounds, body = node.args
    assert isinstance(variable, Sym)
    if node.name == "diff":
        return _finite(mpmath.diff(lambda x: value(body, {**point, variable.name: x}), point[variable.name]))
    places = [value(bound, point) for bound in bounds]
    with mpmath.workdps(_CALCULUS_DIGITS):
        if node.name == "int":
            result, error = mpmath.quad(lambda x: value(body, {**point, variable.name: x}), places, error=True)
            if error > mpmath.mpf(10) ** -12 * (1 + abs(result)):
                raise TooCostly("an integral that does not converge")
            return _finite(result)
        return _finite(mpmath.limit(lambda x: value(body, {**point, variable.name: x}), places[0], int(places[1])))


def _determinant(node: Node, point: Point) -> Value:
    if not isinstance(node, Matrix) or len(node.rows) != len(node.rows[0]) or len(node.rows) > 8:
        raise NoValue("a determinant")
    rows = [[value(item, point) for item in row] for row in node.rows]
    return mpmath.det(mpmath.matrix(rows)) if len(rows) > 1 else rows[0][0]


_CONSTANTS: dict[str, Callable[[], Value]] = {
    "pi": lambda: +mp.pi,
    "e": lambda: +mp.e,
    "i": lambda: mpmath.mpc(0, 1),
    "infinity": lambda: mp.inf,
}
_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "+": lambda a, b: a + b,
    "neg": lambda a: -a,
    "*": lambda a, b: a * b,
    "/": _divide,
    "root": _root,
    "abs": abs,
    "ln": _log,
    "log": _log,
    "exp": _exp,
    "factorial": lambda n: _gamma(n + 1),
    "binom": _binomial,
    "permutations": lambda n, k: _gamma(n + 1) / _gamma(n - k + 1),
    "floor": lambda x: mpmath.floor(x),
    "ceil": lambda x: mpmath.ceil(x),
    "mod": lambda a, b: a - b * mpmath.floor(_divide(a, b)),
    "max": lambda *values: max(values),
    "min": lambda *values: min(values),
    "sign": mpmath.sign,
    "sgn": mpmath.sign,
    "Re": mpmath.re,
    "Im": mpmath.im,
    "arg": mpmath.arg,
}
for _name in "sin cos tan cot sec csc sinh cosh tanh coth sech csch".split():
    _FUNCTIONS[_name] = _trigonometric(getattr(mpmath, _name))
for _name, _inverse in {
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "arcsec": "asec", "arccsc": "acsc",
    "arsinh": "asinh", "arcosh": "acosh", "artanh": "atanh", "arcsinh": "asinh", "arccosh": "acosh", "arctanh": "atanh",
}.items():  # fmt: skip
    _FUNCTIONS[_name] = _trigonometric(getattr(mpmath, _inverse))
