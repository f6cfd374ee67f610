"""The lowest level of the grammar: atoms. Brackets hand over to `parse.AnswerParser.listing`."""

from __future__ import annotations

from fractions import Fraction

from envs.grading.cursor import Cursor
from envs.grading.guard import MAX_ITEMS, TooCostly
from envs.grading.nodes import Based, Call, Listing, Matrix, NamedSet, Node, Num, Quantity, Sym, Words
from envs.grading.tokens import ParseError, Token
from envs.grading.units import CURRENCIES

BASE_WORDS = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10,
              "eleven": 11, "twelve": 12, "sixteen": 16, "hex": 16, "bin": 2, "oct": 8, "dec": 10}  # fmt: skip
_APPLIED = frozenset("fghFG")  # letters that are functions when a bracket follows
_INDICES = frozenset("ijklmnpqrst")  # subscripts that are indices and not part of a name
_FILLERS = frozenset(
    "approximately about around roughly exactly only is are the answer be therefore thus so "
    "hence rs usd us nearly almost"
    " approx equals equal to precisely we get have which it its value of total".split()
)
_MATRICES = {
    "matrix",
    "pmatrix",
    "bmatrix",
    "Bmatrix",
    "vmatrix",
    "Vmatrix",
    "smallmatrix",
    "array",
    "psmallmatrix",
    "bsmallmatrix",
}


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


class AtomParser(Cursor):
    """Reads what no operator stands in: numbers, names, words, units, brackets, matrices."""

    def atom(self, exponent: bool = False) -> Node:
        token = self.take()
        if token.kind == "number":
            return self.numeral(token, exponent)
        if token.kind == "symbol":
            return self.symbol(token.value)
        if token.kind == "function":
            return self.function(token.value)
        if token.kind == "text":
            return self.words(token)
        if token.kind == "set":
            return self.named_set(token.value)
        if token.kind == "open":
            return self.bracket(token.value)
        if token.kind == "begin":
            return self.environment(token.value)
        if token.kind == "op" and token.value == "|":
            return self.absolute()
        if token.kind == "command":
            return self.command(token.value)
        raise ParseError(f"unexpected {token.value[:20]!r}")

    def numeral(self, token: Token, exponent: bool) -> Node:
        if self.is_op("_"):
            return self.based(token.value)
        node = decimal(token.value)
        if exponent or not token.value.isdigit():
            return node
        whole = node.value
        after = self.peek()
        if after is None:
            return node
        if after.kind == "command" and after.value == "frac":  # 2\frac{1}{3}
            place = self.at
            self.take()
            part = self.fraction()
            if isinstance(part, Call) and all(
                isinstance(a, Num) and a.digits is None and a.value > 0 for a in part.args
            ):
                top, bottom = part.args
                assert isinstance(top, Num) and isinstance(bottom, Num)
                if top.value < bottom.value and not self.is_op("^"):
                    return Num(whole + top.value / bottom.value)
            self.at = place
        elif after.kind == "number" and after.space and after.value.isdigit() and self.is_op("/", ahead=1):  # 2 1/3
            bottom_token = self.peek(2)
            if bottom_token is not None and bottom_token.kind == "number" and bottom_token.value.isdigit():
                top_value, bottom_value = int(after.value), int(bottom_token.value)
                if 0 < top_value < bottom_value:
                    self.at += 3
                    return Num(whole + Fraction(top_value, bottom_value))
        return node

    def based(self, digits: str) -> Node:
        self.take()
        words: list[str] = []
        if self.is_op("{"):
            self.take()
            while not self.is_op("}"):
                words.append(self.take().value)
            self.take()
        else:
            words.append(self.take().value)
        name = "".join(words).lower().replace("base", "").strip()
        base = BASE_WORDS.get(name, int(name) if name.isdigit() and len(name) < 4 else 0)
        if not 2 <= base <= 36 or "." in digits or any(int(d, 36) >= base for d in digits):
            return Call("sub:" + digits, (Sym(name),))  # 12_x: no number of ours, but equal to itself
        return Based(digits.lstrip("0") or "0", base)

    def symbol(self, name: str) -> Node:
        while self.is_op("'"):
            self.take()
            name += "'"
        if self.is_op("_"):
            return self.subscripted(name)
        if self.is_op("(") and (name.rstrip("'") in _APPLIED or self.is_definition()):
            return self.applied(f"apply:{name}")
        if self.is_op("(") and name in ("C", "P") and self.is_pair():
            return self.applied("binom" if name == "C" else "permutations")
        return Sym(name)

    def is_definition(self) -> bool:
        """Whether `(x) =` or `(x, y) =` follows."""
        at = self.at + 1
        while at + 1 < len(self.tokens) and self.tokens[at].kind == "symbol":
            if self.tokens[at + 1].value == ")":
                return at + 2 < len(self.tokens) and self.tokens[at + 2].value == "="
            if self.tokens[at + 1].value != ",":
                return False
            at += 2
        return False

    def is_pair(self) -> bool:
        values = [(t.kind, t.value) for t in self.tokens[self.at : self.at + 5]]
        return len(values) == 5 and values[1][0] != "open" and values[2][1] == "," and values[4][1] == ")"

    def applied(self, name: str) -> Node:
        self.take()
        inner = self.listing((")",))
        self.expect(")")
        return Call(name, inner.items if isinstance(inner, Listing) else (inner,))

    def subscripted(self, name: str) -> Node:
        self.take()
        start = self.at
        if self.is_op("{"):
            self.take()
            inside: list[Token] = []
            level = 1
            while True:
                token = self.take()
                level += (token.value == "{") - (token.value == "}")
                if level == 0:
                    break
                inside.append(token)
        else:
            inside = [self.take()]
        expression = any(t.kind == "op" and t.value in "+-/" for t in inside) or (
            len(inside) == 1 and inside[0].value in _INDICES
        )
        if name == "log":
            expression = True
        if expression:
            end, self.at = self.at, start
            if self.is_op("{"):
                self.take()
                index = self.listing(("}",))
                self.expect("}")
            else:
                index = self.atom()
            if self.at != end:
                raise ParseError("a subscript that is no index")
            node: Node = Call(f"sub:{name}", (index,))
        else:
            node = Sym(f"{name}_{''.join(t.value for t in inside)}".replace(" ", ""))
        while self.is_op("'"):
            self.take()
        if self.is_op("(") and isinstance(node, Sym) and (name in _APPLIED or self.is_definition()):
            return self.applied(f"apply:{node.name}")
        return node

    def words(self, token: Token) -> Node:
        """Words before anything else: a filler or a currency before a number, else words that stand for themselves."""
        value = token.value
        after = self.peek()
        if value in CURRENCIES or value == "dollar":
            return Quantity(self.power(), CURRENCIES.get(value, value))
        if after is not None and (
            after.kind in ("number", "symbol", "function") or after.value in ("(", "[", "\\{", "frac", "sqrt", "-")
        ):
            if all(word.strip(".,:").lower() in _FILLERS for word in value.split()):
                return self.power()
            raise ParseError(f"words before a formula: {value[:30]!r}")
        return Words(value)

    def unit(self) -> str:
        """Words after a value, with what belongs to a unit: powers, strokes and further unit letters."""
        parts = [self.take().value]
        while (token := self.peek()) is not None:
            if self.is_op("^"):
                self.take()
                group = self.is_op("{")
                exponent = self.take() if not group else (self.take(), self.take())[1]
                sign = ""
                if exponent.value == "-":
                    sign, exponent = "-", self.take()
                if group:
                    self.expect("}")
                parts.append(f"^{sign}{exponent.value}")
            elif token.kind == "text":
                parts.append(" " + self.take().value)
            elif self.is_op("/") or self.is_command("cdot"):
                after = self.peek(1)
                if after is None or after.kind not in ("text", "symbol"):
                    break
                parts.append("/" if self.take().value == "/" else " ")
                parts.append(self.take().value)
            else:
                break
        return "".join(parts)

    def named_set(self, name: str) -> Node:
        if name not in ("R", "Z", "N", "Q", "C"):
            return Sym(f"blackboard {name}")
        sign = ""
        while self.is_op("^", "_"):
            self.take()
            group = self.is_op("{")
            if group:
                self.take()
            sign += self.take().value
            if group:
                self.expect("}")
        return NamedSet(name + sign)

    def bracket(self, opening: str) -> Node:
        self.nest()
        bars, self.bars, builder, self.builder = self.bars, 0, self.builder, 0
        node = self.brackets(opening)
        self.bars, self.builder = bars, builder
        self.depth -= 1
        return node

    def brackets(self, opening: str) -> Node:
        raise NotImplementedError

    def absolute(self) -> Node:
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

    def environment(self, kind: str) -> Node:
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
                rows[-1].append(self.cell())
            if len(rows) * len(rows[0]) > MAX_ITEMS * 4:
                raise TooCostly("a matrix of too many entries")
        self.depth -= 1
        rows = [row for row in rows if row]
        if not rows:
            raise ParseError("an empty environment")
        if kind not in _MATRICES:
            items = tuple(item for row in rows for item in row)
            return items[0] if len(items) == 1 else Listing(items, "and")
        if len({len(row) for row in rows}) != 1:
            raise ParseError("rows of different lengths")
        matrix = Matrix(tuple(map(tuple, rows)))
        return Call("det", (matrix,)) if kind == "vmatrix" else matrix

    def cell(self) -> Node:
        raise NotImplementedError
