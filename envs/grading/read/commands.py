"""LaTeX commands and their arguments: fractions, roots, functions, sums, integrals, limits."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from envs.grading.read import atoms
from envs.grading.read.nodes import (
    Braces,
    Call,
    E,
    Group,
    Listing,
    Named,
    NamedSet,
    NameKind,
    Node,
    Num,
    Quantity,
    Sym,
    number,
)
from envs.grading.read.tokens import ParseError
from envs.grading.read.units import CURRENCIES

if TYPE_CHECKING:
    from envs.grading.read.parser import Parser

CLOSING = {"lfloor": "rfloor", "lceil": "rceil", "langle": "rangle"}
ACCENTS = frozenset("vec hat bar overline tilde widehat widetilde overrightarrow dot ddot mathring acute check".split())
FACTORS = (
    frozenset("frac binom sqrt sum prod int lim boxed repeating angle triangle emptyset euro pounds yen".split())
    | ACCENTS
    | frozenset(CLOSING)
)


def fraction(parser: Parser) -> Node:
    top, bottom = parser.argument(), parser.argument()
    derivative = _derivative(top, bottom)
    if derivative is None:
        return Call("/", (top, bottom))
    variable, order = derivative
    body = parser.signed(parser.power if parser.is_op("(", "[", "{") else parser.term)
    for _ in range(order):
        body = Call("diff", (variable, body))
    return body


def command(parser: Parser, name: str) -> Node:
    if name == "frac":
        return fraction(parser)
    if name == "binom":
        return Call("binom", (parser.argument(), parser.argument()))
    if name == "sqrt":
        return root(parser)
    if name in ACCENTS:
        return Named(NameKind.ACCENT, "bar" if name == "overline" else name, (parser.argument(),))
    if name in CLOSING:
        inner = parser.listing((CLOSING[name],))
        parser.expect(CLOSING[name])
        if name == "langle":
            return Group("(", ")", inner.items) if isinstance(inner, Listing) else inner
        return Call("floor" if name == "lfloor" else "ceil", (inner,))
    if name == "emptyset":
        return NamedSet("empty")
    if name in ("sum", "prod"):
        return big(parser, name)
    if name in ("int", "iint", "oint"):
        return integral(parser)
    if name == "lim":
        return limit(parser)
    if name in ("angle", "triangle", "measuredangle"):
        inner = parser.power()
        while (token := parser.peek()) is not None and token.kind == "symbol":
            inner = Call("*", (inner, atoms.symbol(parser, parser.take().value)))
        return Named(NameKind.ACCENT, "angle", (inner,))
    if name in ("euro", "pounds", "yen", "rupee"):
        return Quantity(parser.power(), CURRENCIES.get(name, name))
    if name == "boxed":
        return parser.argument()
    if name == "repeating":
        return repeating(parser)
    if name == "neg":
        raise ParseError("a negation")
    raise ParseError(f"unknown command \\{name[:20]}")


def repeating(parser: Parser) -> Node:
    """\\repeating{whole}{fixed}{repeated}, which `parse` writes for every notation of a repeating decimal."""
    parts = []
    for _ in range(3):
        parser.expect("{")
        parts.append("" if parser.is_op("}") else parser.take().value)
        parser.expect("}")
    whole, fixed, repeated = parts
    value = Fraction(int(whole + fixed or "0"), 10 ** len(fixed))
    return Num(value + Fraction(int(repeated), (10 ** len(repeated) - 1) * 10 ** len(fixed)))


def root(parser: Parser) -> Node:
    degree: Node = number(2)
    if parser.is_op("["):
        parser.take()
        degree = parser.sum()
        parser.expect("]")
    token = parser.peek()
    if token is not None and token.kind == "number":
        return Call("root", (atoms.decimal(parser.take().value), degree))
    return Call("root", (parser.atom(), degree))


def function(parser: Parser, name: str) -> Node:
    """sin^2 x, \\log_2 8, f applied to a bracket or to the factors that follow."""
    if name == "sqrt":
        return root(parser)
    power: Node | None = None
    base: Node | None = None
    while parser.is_op("^", "_"):
        if parser.take().value == "^":
            power = parser.exponent()
        else:
            base = parser.argument() if parser.is_op("{") else parser.atom(exponent=True)
    if parser.is_op("(", "[", "{", "\\{"):
        inner = parser.atom()
    else:
        inner = function_argument(parser)
    args = inner.items if isinstance(inner, (Group, Listing, Braces)) else (inner,)
    inverse = (
        isinstance(power, Call)
        and power == Call("neg", (number(1),))
        and name in ("sin", "cos", "tan", "cot", "sec", "csc")
    )
    if name in ("log", "ln") and base is not None:
        node: Node = Call("log", (*args, base)) if base != E else Call("ln", args)
    elif base is not None:
        raise ParseError(f"a subscript of {name}")
    elif name == "lg":
        node = Call("log", (*args, number(10)))
    elif name == "cbrt":
        node = Call("root", (*args, number(3)))
    else:
        node = Call(f"arc{name}" if inverse else name, args)
    return node if power is None or inverse else Call("^", (node, power))


def function_argument(parser: Parser) -> Node:
    node = parser.signed(parser.power)
    while (token := parser.peek()) is not None and parser.starts_factor(token):
        if (
            token.kind == "function"
            or token.kind == "number"
            or (token.kind == "command" and token.value not in ("frac", "sqrt"))
        ):
            break
        if token.kind == "open" and token.value != "{":
            break
        node = Call("*", (node, parser.power()))
    return node


def big(parser: Parser, name: str) -> Node:
    """A sum or product over an index, with both bounds."""
    index, low, high = None, None, None
    while parser.is_op("_", "^"):
        if parser.take().value == "^":
            high = parser.argument() if parser.is_op("{") else parser.atom(exponent=True)
        else:
            parser.expect("{")
            index = parser.atom()
            parser.expect("=")
            low = parser.sum()
            parser.expect("}")
    if not isinstance(index, Sym) or low is None or high is None:
        raise ParseError(f"\\{name} without an index and two bounds")
    return Call(name, (index, low, high, parser.signed(parser.term)))


def integral(parser: Parser) -> Node:
    low, high = None, None
    while parser.is_op("_", "^"):
        if parser.take().value == "^":
            high = parser.argument() if parser.is_op("{") else parser.exponent()
        else:
            low = parser.argument() if parser.is_op("{") else parser.signed(parser.atom)
    end = next((i for i in range(parser.at, len(parser.tokens) - 1) if is_differential(parser, i)), None)
    if low is None or high is None or end is None:
        raise ParseError("an integral without bounds or differential")
    variable = Sym(parser.tokens[end + 1].value)
    inner = type(parser)(parser.tokens[parser.at : end])
    inner.depth = parser.depth
    body = inner.sum() if inner.tokens else number(1)
    if inner.at != len(inner.tokens):
        raise ParseError("an integrand that does not parse")
    parser.at = end + 2
    return Call("int", (variable, low, high, body))


def is_differential(parser: Parser, index: int) -> bool:
    """Whether `d x` stands at a place."""
    first, second = parser.tokens[index], parser.tokens[index + 1]
    return first.kind == second.kind == "symbol" and first.value == "d"


def limit(parser: Parser) -> Node:
    parser.expect("_")
    parser.expect("{")
    variable = parser.atom()
    parser.expect("to")
    target = sum_without_power(parser)
    side = ""
    if parser.is_op("^"):
        parser.take()
        group = parser.is_op("{")
        side = parser.take().value if not group else (parser.take(), parser.take())[1].value
        if group:
            parser.expect("}")
    parser.expect("}")
    if not isinstance(variable, Sym) or side not in ("", "+", "-"):
        raise ParseError("a limit of no variable, or from no side")
    return Call("lim", (variable, target, number(-1 if side == "-" else 1), parser.signed(parser.term)))


def sum_without_power(parser: Parser) -> Node:
    """What a limit goes to: a sign, an atom, and a sum only in brackets."""
    if parser.is_op("-", "+"):
        return Call("neg", (sum_without_power(parser),)) if parser.take().value == "-" else sum_without_power(parser)
    node = parser.atom()
    while parser.is_op("/"):
        parser.take()
        node = Call("/", (node, parser.atom()))
    return node


def modulus(parser: Parser) -> str:
    if parser.is_op("("):
        parser.take()
        parser.take()
        node = parser.power()
        parser.expect(")")
    else:
        parser.take()
        node = parser.power()
    return str(node.value) if isinstance(node, Num) else "?"


def _derivative(top: Node, bottom: Node) -> tuple[Sym, int] | None:
    """(x, n) of d^n / dx^n; None for any other fraction."""
    order, marks = 1, ("d", "partial")
    if isinstance(top, Call) and top.name == "^" and isinstance(top.args[1], Num) and top.args[1].value in (2, 3):
        order = top.args[1].value.numerator
        top = top.args[0]
    if not (isinstance(top, Sym) and top.name in marks and isinstance(bottom, Call) and bottom.name == "*"):
        return None
    mark, variable = bottom.args
    if order > 1 and isinstance(variable, Call) and variable.name == "^":
        variable = variable.args[0]
    return (variable, order) if mark == top and isinstance(variable, Sym) else None
