"""Atoms that are no formula of their own: numbers as written, names with their indices, words, units."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from envs.grading.guard import TooCostly
from envs.grading.read.nodes import Based, Call, Listing, Named, NamedSet, NameKind, Node, Num, Quantity, Sym, Words
from envs.grading.read.tokens import ParseError, Token
from envs.grading.read.units import CURRENCIES

if TYPE_CHECKING:
    from envs.grading.read.parser import Parser

BASE_WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
              "eleven": 11, "twelve": 12, "sixteen": 16, "hex": 16, "bin": 2, "oct": 8, "dec": 10}  # fmt: skip
_APPLIED = frozenset("fghFG")  # letters that are functions when a bracket follows
_INDICES = frozenset("ijklmnpqrst")  # subscripts that are indices and not part of a name
_FILLERS = frozenset(
    "approximately about around roughly exactly only is are the answer be therefore thus so "
    "hence rs usd us nearly almost"
    " approx equals equal to precisely we get have which it its value of total".split()
)


def decimal(text: str) -> Num:
    """The number token's value; raises TooCostly for a huge exponent."""
    mantissa, _, exponent = text.lower().partition("e")
    if exponent and abs(int(exponent)) > 5000:
        raise TooCostly("an exponent beyond 5000")
    value = Fraction(mantissa if mantissa[0] != "." else "0" + mantissa)
    if exponent:
        value *= Fraction(10) ** int(exponent)
    if "." not in mantissa:
        return Num(value)
    return Num(value, len(mantissa.replace(".", "").lstrip("0")))


def based(parser: Parser, digits: str) -> Node:
    parser.take()
    words: list[str] = []
    if parser.is_op("{"):
        parser.take()
        while not parser.is_op("}"):
            words.append(parser.take().value)
        parser.take()
    else:
        words.append(parser.take().value)
    name = "".join(words).lower().replace("base", "").strip()
    base = BASE_WORDS.get(name, int(name) if name.isdigit() and len(name) < 4 else 0)
    if not 2 <= base <= 36 or "." in digits or any(int(d, 36) >= base for d in digits):
        return Named(NameKind.SEQUENCE, digits, (Sym(name),))  # 12_x: no number of ours, but equal to itself
    return Based(digits.lstrip("0") or "0", base)


def symbol(parser: Parser, name: str) -> Node:
    while parser.is_op("'"):
        parser.take()
        name += "'"
    if parser.is_op("_"):
        return subscripted(parser, name)
    if parser.is_op("(") and (name.rstrip("'") in _APPLIED or is_definition(parser)):
        return applied(parser, name)
    if parser.is_op("(") and name in ("C", "P") and is_pair(parser):
        return Call("binom" if name == "C" else "permutations", arguments(parser))
    return Sym(name)


def is_definition(parser: Parser) -> bool:
    """Whether `(x) =` or `(x, y) =` follows."""
    at = parser.at + 1
    while at + 1 < len(parser.tokens) and parser.tokens[at].kind == "symbol":
        if parser.tokens[at + 1].value == ")":
            return at + 2 < len(parser.tokens) and parser.tokens[at + 2].value == "="
        if parser.tokens[at + 1].value != ",":
            return False
        at += 2
    return False


def is_pair(parser: Parser) -> bool:
    values = [(t.kind, t.value) for t in parser.tokens[parser.at : parser.at + 5]]
    return len(values) == 5 and values[1][0] != "open" and values[2][1] == "," and values[4][1] == ")"


def applied(parser: Parser, name: str) -> Node:
    """f(x), f being known by name only."""
    return Named(NameKind.FUNCTION, name, arguments(parser))


def arguments(parser: Parser) -> tuple[Node, ...]:
    """What stands in brackets after a name."""
    parser.take()
    inner = parser.listing((")",))
    parser.expect(")")
    return inner.items if isinstance(inner, Listing) else (inner,)


def subscripted(parser: Parser, name: str) -> Node:
    parser.take()
    start = parser.at
    if parser.is_op("{"):
        parser.take()
        inside: list[Token] = []
        level = 1
        while True:
            token = parser.take()
            level += (token.value == "{") - (token.value == "}")
            if level == 0:
                break
            inside.append(token)
    else:
        inside = [parser.take()]
    expression = any(t.kind == "op" and t.value in "+-/" for t in inside) or (
        len(inside) == 1 and inside[0].value in _INDICES
    )
    if name == "log":
        expression = True
    if expression:
        end, parser.at = parser.at, start
        if parser.is_op("{"):
            parser.take()
            index = parser.listing(("}",))
            parser.expect("}")
        else:
            index = parser.atom()
        if parser.at != end:
            raise ParseError("a subscript that is no index")
        node: Node = Named(NameKind.SEQUENCE, name, (index,))
    else:
        node = Sym(f"{name}_{''.join(t.value for t in inside)}".replace(" ", ""))
    while parser.is_op("'"):
        parser.take()
    if parser.is_op("(") and isinstance(node, Sym) and (name in _APPLIED or is_definition(parser)):
        return applied(parser, node.name)
    return node


def words(parser: Parser, token: Token) -> Node:
    """Words before anything else: a filler or a currency before a number, else words that stand for themselves."""
    value = token.value
    after = parser.peek()
    if value in CURRENCIES or value == "dollar":
        return Quantity(parser.power(), CURRENCIES.get(value, value))
    if after is not None and (
        after.kind in ("number", "symbol", "function") or after.value in ("(", "[", "\\{", "frac", "sqrt", "-")
    ):
        if all(word.strip(".,:").lower() in _FILLERS for word in value.split()):
            return parser.power()
        raise ParseError(f"words before a formula: {value[:30]!r}")
    return Words(value)


def unit(parser: Parser) -> str:
    """Words after a value, with what belongs to a unit: powers, strokes and further unit letters."""
    parts = [parser.take().value]
    while (token := parser.peek()) is not None:
        if parser.is_op("^"):
            parser.take()
            group = parser.is_op("{")
            exponent = parser.take() if not group else (parser.take(), parser.take())[1]
            sign = ""
            if exponent.value == "-":
                sign, exponent = "-", parser.take()
            if group:
                parser.expect("}")
            parts.append(f"^{sign}{exponent.value}")
        elif token.kind == "text":
            parts.append(" " + parser.take().value)
        elif parser.is_op("/") or parser.is_command("cdot"):
            after = parser.peek(1)
            if after is None or after.kind not in ("text", "symbol"):
                break
            parts.append("/" if parser.take().value == "/" else " ")
            parts.append(parser.take().value)
        else:
            break
    return "".join(parts)


def named_set(parser: Parser, name: str) -> Node:
    if name not in ("R", "Z", "N", "Q", "C"):
        return Sym(f"blackboard {name}")
    sign = ""
    while parser.is_op("^", "_"):
        parser.take()
        group = parser.is_op("{")
        if group:
            parser.take()
        sign += parser.take().value
        if group:
            parser.expect("}")
    return NamedSet(name + sign)
