"""The grammar, by recursive descent over tokens: from lists down to atoms. Commands and names have files of their own.

listing:    clause (separator clause)*
clause:     set (relation set)*
set:        ratio (∪ ratio)*
ratio:      sum (: sum)*
sum:        term (+ term)*
term:       power (· power | / power | power | unit)*
power:      atom postfix* (^ exponent)?
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

from envs.grading.guard import MAX_DEPTH, MAX_ITEMS, TooCostly
from envs.grading.read import atoms, commands
from envs.grading.read.nodes import (
    Braces,
    Builder,
    Call,
    Colon,
    Group,
    Listing,
    Matrix,
    Named,
    NamedSet,
    Node,
    Num,
    Quantity,
    Relation,
    SetOp,
    Sym,
    Words,
    number,
)
from envs.grading.read.tokens import ParseError, Token

_RELATIONS = {"=": "=", "<": "<", ">": ">"}
_RELATION_COMMANDS = {"le": "<=", "ge": ">=", "ne": "!=", "approx": "~", "equiv": "===", "in": "in", "notin": "notin",
                      "subset": "subset", "subseteq": "subset", "sim": "~", "propto": "propto", "to": "->"}  # fmt: skip
_SETS = {"cup": "union", "cap": "intersection", "setminus": "difference"}
_SEPARATORS = (",", ";")


def parse_tokens(tokens: list[Token]) -> Node:
    """The tree of a whole answer. Raises ParseError where a token is left over, and TooCostly."""
    parser = Parser(tokens)
    node = parser.listing(())
    if parser.peek() is not None:
        raise ParseError(f"unexpected {parser.take().value[:20]!r}")
    return node


def _solutions(items: Sequence[Node]) -> tuple[Node, ...] | None:
    """x = 1, y = 2; x = 3, y = 4 as (1, 2) and (3, 4): equations whose names come again in the same order."""
    equations = [item for item in items if isinstance(item, Relation) and item.ops == ("=",)]
    names = [equation.sides[0] for equation in equations if isinstance(equation.sides[0], Sym)]
    count = len(set(names))
    if len(names) != len(items) or not 1 < count < len(names) or len(names) % count:
        return None
    if any(name != names[place % count] for place, name in enumerate(names)):
        return None
    values = [equation.sides[1] for equation in equations]
    return tuple(Group("(", ")", tuple(values[at : at + count])) for at in range(0, len(values), count))


class Parser:
    """A place in a list of tokens, and a method for each level of the grammar. Each raises ParseError and TooCostly."""

    def __init__(self, tokens: list[Token], depth: int = 0) -> None:
        self.tokens, self.at = tokens, 0
        self.depth = depth
        self.bars = 0  # open absolute values
        self.builder = 0  # > 0 where a bar separates, not opens

    # -- the place -----------------------------------------------------------------------------------------------------

    def peek(self, ahead: int = 0) -> Token | None:
        """The token at the place, or some tokens further; None at the end."""
        index = self.at + ahead
        return self.tokens[index] if index < len(self.tokens) else None

    def is_op(self, *values: str, ahead: int = 0) -> bool:
        """Whether an operator or bracket of these stands there."""
        token = self.peek(ahead)
        return token is not None and token.kind in ("op", "open", "close") and token.value in values

    def is_command(self, *values: str, ahead: int = 0) -> bool:
        """Whether a command of these stands there."""
        token = self.peek(ahead)
        return token is not None and token.kind == "command" and token.value in values

    def take(self) -> Token:
        """The token at the place, which moves on."""
        token = self.peek()
        if token is None:
            raise ParseError("it ends early")
        self.at += 1
        return token

    def expect(self, *values: str) -> Token:
        """`take`, where only these may stand."""
        token = self.take()
        if token.value not in values:
            raise ParseError(f"{values[0]!r} expected, not {token.value[:20]!r}")
        return token

    def nest(self) -> None:
        """Count one level deeper."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooCostly(f"nested deeper than {MAX_DEPTH}")

    # -- lists, relations, sets, ratios --------------------------------------------------------------------------------

    def listing(self, closers: tuple[str, ...]) -> Node:
        """Clauses side by side up to one of the closers, or one clause."""
        items: list[Node] = []
        word = ","
        while True:
            while self._is_separator():
                value = self.take().value
                word = value if value in ("and", "or") else word
            token = self.peek()
            if token is None or token.value in closers:
                break
            items.append(self.clause())
            if len(items) > MAX_ITEMS:
                raise TooCostly(f"a list of more than {MAX_ITEMS} items")
            if not self._is_separator():
                break
        if not items:
            raise ParseError("nothing is there")
        if len(items) == 1:
            return items[0]
        return Listing(_solutions(items) or tuple(items), word)

    def _is_separator(self) -> bool:
        token = self.peek()
        return token is not None and (
            token.kind in ("connective", "gap", "row") or (token.kind == "op" and token.value in _SEPARATORS)
        )

    def clause(self) -> Node:
        """A chain of relations."""
        sides, ops = [self._set()], []
        while (op := self._relation()) is not None:
            ops.append(op)
            sides.append(self._set())
        return Relation(tuple(sides), tuple(ops)) if ops else sides[0]

    def _relation(self) -> str | None:
        token = self.peek()
        if token is None:
            return None
        if token.kind == "op" and token.value in _RELATIONS:
            self.take()
            if self.is_op("="):  # == is =
                self.take()
            return _RELATIONS[token.value]
        if token.kind == "command" and token.value in _RELATION_COMMANDS:
            self.take()
            return _RELATION_COMMANDS[token.value]
        return None

    def _set(self) -> Node:
        left = self._ratio()
        while self.is_command(*_SETS):
            left = SetOp(_SETS[self.take().value], left, self._ratio())
        return left

    def _ratio(self) -> Node:
        first = self.at
        parts = [self.sum()]
        while self.is_op(":") and not self.builder:
            self.take()
            parts.append(self.sum())
        if len(parts) == 1:
            return parts[0]
        tokens = self.tokens[first : self.at]
        plain = all(token.kind == "number" or token.value == ":" for token in tokens)
        return Colon(tuple(parts), tuple(t.value for t in tokens if t.kind == "number") if plain else ())

    # -- expressions ---------------------------------------------------------------------------------------------------

    def sum(self) -> Node:
        """term (+|-|±|∓ term)*, with a sign in front."""
        self.nest()
        left = self.signed(self.term)
        while self.is_op("+", "-") or self.is_command("pm", "mp"):
            op = self.take().value
            right = self.signed(self.term)
            if op == "-" and isinstance(left, (NamedSet, SetOp, Group)) and not isinstance(right, (Num, Call, Named)):
                left = SetOp("difference", left, right)
            elif op in ("pm", "mp"):
                left = Call(op, (left, right))
            else:
                left = Call("+", (left, right if op == "+" else Call("neg", (right,))))
        self.depth -= 1
        return left

    def signed(self, read: Callable[[], Node]) -> Node:
        """Any number of signs, and what `read` reads."""
        if self.is_op("+"):
            self.take()
            self.nest()
            node = self.signed(read)
        elif self.is_op("-"):
            self.take()
            self.nest()
            node = Call("neg", (self.signed(read),))
        elif self.is_command("pm", "mp"):
            op = self.take().value
            self.nest()
            node = Call(op, (number(0), self.signed(read)))
        else:
            return read()
        self.depth -= 1
        return node

    def term(self) -> Node:
        """Factors side by side or with · and /, and a unit at the end."""
        left = self.power()
        while (token := self.peek()) is not None:
            if self.is_command("cdot"):
                self.take()
                left = Call("*", (left, self.signed(self.power)))
            elif self.is_op("/"):
                self.take()
                left = Call("/", (left, self.signed(self.power)))
            elif self.is_command("mod", "bmod"):
                self.take()
                left = Call("mod", (left, self.signed(self.power)))
            elif self.is_command("pmod") or (self.is_op("(") and self.is_command("mod", "pmod", "bmod", ahead=1)):
                left = Quantity(left, f"mod {commands.modulus(self)}")
            elif token.kind == "text":
                left = Quantity(left, atoms.unit(self))
            elif self.starts_factor(token):
                left = self._times(left, token)
            else:
                break
        return left

    def _times(self, left: Node, token: Token) -> Node:
        """`left` and the factor that follows it without a sign."""
        if token.kind == "number" and self.tokens[self.at - 1].kind == "number":
            raise ParseError("two numbers side by side")
        right = self.power()
        if isinstance(right, Call) and right.name == "/" and all(isinstance(part, Words) for part in right.args):
            return Quantity(left, "/".join(part.text for part in right.args if isinstance(part, Words)))
        if isinstance(left, Group) or isinstance(right, (Group, Listing)):
            raise ParseError("a tuple beside a factor")
        return Call("*", (left, right))

    def starts_factor(self, token: Token) -> bool:
        """Whether a factor may begin at the token."""
        if token.kind in ("number", "symbol", "function", "begin", "open"):
            return True
        if token.kind == "command":
            return token.value in commands.FACTORS
        return token.kind == "op" and token.value == "|" and not self.bars and not self.builder

    def power(self) -> Node:
        """An atom with its postfix signs, raised to what follows ^ (right to left)."""
        base = self._postfix(self.atom())
        if self.is_op("^"):
            self.take()
            self.nest()
            exponent = self.exponent()
            self.depth -= 1
            if isinstance(exponent, Sym) and exponent.name in ("T", "top", "intercal") and isinstance(base, Matrix):
                return Matrix(tuple(zip(*base.rows, strict=True)))
            base = self._postfix(Call("^", (base, exponent)))
        return base

    def exponent(self) -> Node:
        """What follows ^."""
        if self.is_op("+", "-") or self.is_command("pm", "mp"):
            return self.signed(self.exponent)
        if self.is_command("top", "intercal", "prime"):
            return Sym(self.take().value)
        node = self._postfix(self.atom(exponent=True))
        if self.is_op("^"):
            self.take()
            self.nest()
            node = Call("^", (node, self.exponent()))
            self.depth -= 1
        return node

    def _postfix(self, node: Node) -> Node:
        """The node with the factorial, percent, degree, foot and inch signs that follow."""
        while True:
            if self.is_op("!"):
                self.take()
                after = self.peek()
                double = self.is_op("!") and after is not None and not after.space
                if double:
                    self.take()
                node = Call("double_factorial" if double else "factorial", (node,))
            elif self.is_op("%"):
                self.take()
                node = Quantity(node, "percent")
            elif self.is_command("degree"):
                self.take()
                token = self.peek()
                scale = token.value if token is not None and token.kind == "symbol" and token.value in "CFK" else ""
                if scale:
                    self.take()
                node = Quantity(node, f"degree {scale}".strip())
            elif self.is_op("'", '"') and isinstance(node, Num):  # 12'' are inches, 5' are feet
                marks = self.take().value
                if marks == "'" and self.is_op("'"):
                    marks = '"' if self.take() else ""
                node = Quantity(node, "inches" if marks == '"' else "feet")
            else:
                return node

    # -- atoms ---------------------------------------------------------------------------------------------------------

    def atom(self, exponent: bool = False) -> Node:
        """What no operator stands in. In an exponent, digits are a number and nothing more."""
        token = self.take()
        if token.kind == "number":
            return self._numeral(token, exponent)
        if token.kind == "symbol":
            return atoms.symbol(self, token.value)
        if token.kind == "function":
            return commands.function(self, token.value)
        if token.kind == "text":
            return atoms.words(self, token)
        if token.kind == "set":
            return atoms.named_set(self, token.value)
        if token.kind == "open":
            return self._bracket(token.value)
        if token.kind == "begin":
            return self._environment(token.value)
        if token.kind == "op" and token.value == "|":
            return self._absolute()
        if token.kind == "command":
            return commands.command(self, token.value)
        raise ParseError(f"unexpected {token.value[:20]!r}")

    def argument(self) -> Node:
        """The argument of a LaTeX command: a group, one digit, or one atom."""
        if self.is_op("{"):
            return self.atom()
        token = self.peek()
        if token is not None and token.kind == "number" and len(token.value) > 1 and token.value.isdigit():
            self.tokens[self.at] = Token("number", token.value[1:])
            return number(int(token.value[0]))
        return self.atom()

    def _numeral(self, token: Token, exponent: bool) -> Node:
        """A number, with its base or its fraction: 1101_2, 2\\frac{1}{3}, 2 1/3."""
        if self.is_op("_"):
            return atoms.based(self, token.value)
        node = atoms.decimal(token.value)
        after = self.peek()
        if exponent or not token.value.isdigit() or after is None:
            return node
        if after.kind == "command" and after.value == "frac":
            place = self.at
            self.take()
            part = commands.fraction(self)
            if isinstance(part, Call) and not self.is_op("^"):
                top, bottom = (arg if isinstance(arg, Num) and arg.digits is None else number(0) for arg in part.args)
                if 0 < top.value < bottom.value:
                    return Num(node.value + top.value / bottom.value)
            self.at = place
        elif after.kind == "number" and after.space and after.value.isdigit() and self.is_op("/", ahead=1):
            below = self.peek(2)
            if below is not None and below.kind == "number" and below.value.isdigit():
                if 0 < int(after.value) < int(below.value):
                    self.at += 3
                    return Num(node.value + Fraction(int(after.value), int(below.value)))
        return node

    def _bracket(self, opening: str) -> Node:
        self.nest()
        bars, self.bars, builder, self.builder = self.bars, 0, self.builder, 0
        node = self._braces() if opening == "\\{" else self._latex_group() if opening == "{" else self._group(opening)
        self.bars, self.builder = bars, builder
        self.depth -= 1
        return node

    def _group(self, opening: str) -> Node:
        """(1, 2), [0, 1), (x + 1), or rows of a matrix [[1, 2], [3, 4]]."""
        inner = self.listing((")", "]"))
        if self.is_command("choose"):
            self.take()
            inner = Call("binom", (inner, self.sum()))
        closing = self.expect(")", "]").value
        if isinstance(inner, Listing):
            group = Group(opening, closing, inner.items)
            rows = [
                item.items for item in group.items if isinstance(item, Group) and item.open == "[" and item.close == "]"
            ]
            if opening == "[" and len(rows) == len(group.items) and len({len(row) for row in rows}) == 1:
                return Matrix(tuple(rows))
            return group
        if {"(": ")", "[": "]"}[opening] != closing:
            raise ParseError("brackets that do not match")
        return inner

    def _latex_group(self) -> Node:
        if self.is_op("}"):
            raise ParseError("an empty group")
        inner = self.listing(("}",))
        if self.is_command("choose", "over", "atop"):
            name = "/" if self.take().value == "over" else "binom"
            inner = Call(name, (inner, self.sum()))
        self.expect("}")
        return inner

    def _braces(self) -> Node:
        """{1, 2}, {x | x > 2} or {}."""
        if self.is_op("\\}"):
            self.take()
            return NamedSet("empty")
        self.builder = 1
        inner = self.listing(("\\}", "|", ":"))
        self.builder = 0
        if self.is_op("|", ":"):
            self.take()
            condition = self.listing(("\\}",))
            self.expect("\\}")
            return Builder(inner, condition)
        self.expect("\\}")
        return Braces(inner.items if isinstance(inner, Listing) else (inner,))

    def _absolute(self) -> Node:
        double = self.is_op("|")
        if double:
            self.take()
        self.bars += 1
        self.nest()
        inner = self.sum()
        self.depth -= 1
        self.bars -= 1
        self.expect("|")
        if double:
            self.expect("|")
        return Call("abs", (inner,))

    def _environment(self, kind: str) -> Node:
        """A matrix, or rows that are a list of clauses."""
        self.nest()
        rows: list[list[Node]] = [[]]
        while True:
            token = self.peek()
            if token is None:
                raise ParseError("an environment without end")
            if token.kind == "end":
                self.take()
                break
            if token.kind == "row":
                self.take()
                rows.append([])
            elif self.is_op("&"):
                self.take()
            else:
                rows[-1].append(self._cell())
            if len(rows) * len(rows[0]) > MAX_ITEMS * 4:
                raise TooCostly("a matrix of too many entries")
        self.depth -= 1
        rows = [row for row in rows if row]
        if not rows:
            raise ParseError("an empty environment")
        if not kind.endswith("matrix") and kind != "array":
            items = tuple(item for row in rows for item in row)
            return items[0] if len(items) == 1 else Listing(items, "and")
        if len({len(row) for row in rows}) != 1:
            raise ParseError("rows of different lengths")
        matrix = Matrix(tuple(map(tuple, rows)))
        return Call("det", (matrix,)) if kind == "vmatrix" else matrix

    def _cell(self) -> Node:
        node = self.clause()
        while self.is_op(",", ";", "."):
            self.take()
        return node
