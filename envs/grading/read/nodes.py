"""What an answer can be once it is parsed: small immutable trees. Nothing here computes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Num:
    """A rational number. `digits`: significant digits of a decimal as written, None for an integer or an exact one."""

    value: Fraction
    digits: int | None = None


@dataclass(frozen=True, slots=True)
class Sym:
    """A variable, or one of the constants pi, e, i, infinity."""

    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """An operation or a function, by name: +, neg, *, /, ^, root, sin, sum ..."""

    name: str
    args: tuple[Node, ...]


class NameKind(Enum):
    """What a name with arguments is the name of."""

    FUNCTION = "apply"  # f(x)
    SEQUENCE = "sub"  # a_n
    ACCENT = "accent"  # a vector, a mean, an angle


@dataclass(frozen=True, slots=True)
class Named:
    """A function, a term of a sequence or a marked symbol that is known by name only."""

    kind: NameKind
    name: str
    args: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix with rows of equal length; `bars` marks a determinant's notation."""

    rows: tuple[tuple[Node, ...], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Two or more items in ( or [ and ) or ]: a point, a tuple or an interval, with its ends."""

    open: str
    close: str
    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """Items side by side without brackets, joined by commas or by a word."""

    items: tuple[Node, ...]
    word: str = ","  # "," or "and" or "or"


@dataclass(frozen=True, slots=True)
class Braces:
    """A finite set written out."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Builder:
    """All values of a variable that satisfy conditions."""

    variable: Node
    condition: Node


@dataclass(frozen=True, slots=True)
class SetOp:
    """`union`, `intersection` or `difference` of two sets."""

    name: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class NamedSet:
    """R, Z, N, Q, C, or `empty`."""

    name: str


@dataclass(frozen=True, slots=True)
class Relation:
    """A chain `sides[0] ops[0] sides[1] ops[1] ...`; ops are = != < <= > >= ~ === in."""

    sides: tuple[Node, ...]
    ops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Colon:
    """`3:30` or `a:b:c`, a time or a ratio; `digits` holds the parts as written where all are integers."""

    parts: tuple[Node, ...]
    digits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Based:
    """A number with its base as a subscript."""

    digits: str
    base: int
    negative: bool = False


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value with what is written beside it: a unit, a currency, or other words."""

    value: Node
    unit: str


@dataclass(frozen=True, slots=True)
class Words:
    """Text that is no formula, as written."""

    text: str


Node = (
    Num | Sym | Call | Named | Matrix | Group | Listing | Braces | Builder | SetOp | NamedSet | Relation | Colon | Based
    | Quantity | Words
)  # fmt: skip

PI, E, INFINITY = Sym("pi"), Sym("e"), Sym("infinity")
CONSTANTS = {"pi", "e", "i", "infinity"}


def number(value: int | Fraction) -> Num:
    """An exact number."""
    return Num(Fraction(value))


def children(node: Node) -> tuple[Node, ...]:
    """The nodes directly below."""
    if isinstance(node, (Call, Named)):
        return node.args
    if isinstance(node, (Group, Listing, Braces)):
        return node.items
    if isinstance(node, Relation):
        return node.sides
    if isinstance(node, Colon):
        return node.parts
    if isinstance(node, Quantity):
        return (node.value,)
    if isinstance(node, SetOp):
        return (node.left, node.right)
    if isinstance(node, Builder):
        return (node.variable, node.condition)
    if isinstance(node, Matrix):
        return tuple(item for row in node.rows for item in row)
    return ()


def size(node: Node) -> int:
    """Number of nodes."""
    return 1 + sum(map(size, children(node)))


def symbols(node: Node) -> frozenset[str]:
    """Names of the free variables; constants and bound variables are none."""
    if isinstance(node, Sym):
        return frozenset() if node.name in CONSTANTS else frozenset((node.name,))
    found = frozenset().union(*map(symbols, children(node)))
    if isinstance(node, Call) and node.name in ("sum", "prod", "int", "lim") and isinstance(node.args[0], Sym):
        return found - {node.args[0].name}
    return found


def mentions(node: Node, name: str) -> bool:
    """Whether the symbol or the function of that name occurs."""
    if isinstance(node, (Sym, Call)) and node.name == name:
        return True
    return any(mentions(child, name) for child in children(node))


def computes(node: Node) -> bool:
    """Whether it holds an operation that asks to be carried out: a sum, an integral, a factorial, a determinant..."""
    if isinstance(node, Call) and node.name in _OPERATIONS:
        return True
    return any(map(computes, children(node)))


_OPERATIONS = {"sum", "prod", "int", "lim", "diff", "det", "binom", "factorial", "gcd", "lcm", "mod", "floor", "ceil"}
