"""Recursive descent over tokens, from sums down to atoms. Brackets hand over to `parse.AnswerParser.listing`."""

from __future__ import annotations

from fractions import Fraction

from envs.grading.guard import MAX_DEPTH, MAX_ITEMS, TooCostly
from envs.grading.nodes import (
    Based,
    Braces,
    Call,
    E,
    Group,
    Listing,
    Matrix,
    NamedSet,
    Node,
    Num,
    Quantity,
    SetOp,
    Sym,
    Words,
    number,
)
from envs.grading.tokens import ParseError, Token
from envs.grading.units import CURRENCIES, is_unit_symbol

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
_CLOSING = {"lfloor": "rfloor", "lceil": "rceil", "langle": "rangle"}
_ACCENTS = frozenset(
    "vec hat bar overline tilde widehat widetilde overrightarrow dot ddot mathring acute check".split()
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


class ExpressionParser:
    """Reads expressions from `tokens`, keeping its place in `at`."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.at = tokens, 0
        self.depth = 0
        self.bars = 0  # open absolute values
        self.builder = 0  # > 0 where a bar separates, not opens

    # -- looking at tokens ------------------------------------------------------------------------------------------

    def peek(self, ahead: int = 0) -> Token | None:
        index = self.at + ahead
        return self.tokens[index] if index < len(self.tokens) else None

    def is_op(self, *values: str, ahead: int = 0) -> bool:
        token = self.peek(ahead)
        return token is not None and token.kind in ("op", "open", "close") and token.value in values

    def is_command(self, *values: str, ahead: int = 0) -> bool:
        token = self.peek(ahead)
        return token is not None and token.kind == "command" and token.value in values

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise ParseError("it ends early")
        self.at += 1
        return token

    def expect(self, *values: str) -> Token:
        token = self.take()
        if token.value not in values:
            raise ParseError(f"{values[0]!r} expected, not {token.value[:20]!r}")
        return token

    def nest(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooCostly(f"nested deeper than {MAX_DEPTH}")

    def listing(self, closers: tuple[str, ...]) -> Node:
        raise NotImplementedError

    # -- sums, products, powers --------------------------------------------------------------------------------------

    def sum(self) -> Node:
        """term (+|-|±|∓ term)*, with a sign in front."""
        self.nest()
        left = self.signed(self.term)
        while self.is_op("+", "-") or self.is_command("pm", "mp"):
            op = self.take().value
            right = self.signed(self.term)
            if op == "-" and isinstance(left, (NamedSet, SetOp, Group)) and not isinstance(right, (Num, Call)):
                left = SetOp("difference", left, right)
            elif op in ("pm", "mp"):
                left = Call(op, (left, right))
            else:
                left = Call("+", (left, right if op == "+" else Call("neg", (right,))))
        self.depth -= 1
        return left

    def signed(self, read: object) -> Node:
        """A term with any number of signs before it."""
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
            return read()  # type: ignore[operator, no-any-return]
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
                left = Quantity(left, f"mod {self.modulus()}")
            elif token.kind == "text":
                left = Quantity(left, self.unit())
            elif self.starts_factor(token):
                if token.kind == "number" and self.tokens[self.at - 1].kind == "number":
                    raise ParseError("two numbers side by side")
                right = self.power()
                if (
                    isinstance(right, Call)
                    and right.name == "/"
                    and all(isinstance(part, Words) for part in right.args)
                ):
                    left = Quantity(left, "/".join(part.text for part in right.args if isinstance(part, Words)))
                    continue
                if isinstance(left, Group) or isinstance(right, (Group, Listing)):
                    raise ParseError("a tuple beside a factor")
                left = Call("*", (left, right))
            else:
                break
        return left

    def modulus(self) -> str:
        if self.is_op("("):
            self.take()
            self.take()
            node = self.power()
            self.expect(")")
        else:
            self.take()
            node = self.power()
        return str(node.value) if isinstance(node, Num) else "?"

    def starts_factor(self, token: Token) -> bool:
        if token.kind in ("number", "symbol", "function", "begin"):
            return True
        if token.kind == "open":
            return True
        if token.kind == "command":
            return token.value in _FACTOR_COMMANDS or token.value in _ACCENTS or token.value in _CLOSING
        return token.kind == "op" and token.value == "|" and not self.bars and not self.builder

    def power(self) -> Node:
        """An atom with its postfix signs, raised to what follows ^ (right to left)."""
        base = self.postfix(self.atom())
        if self.is_op("^"):
            self.take()
            self.nest()
            exponent = self.exponent()
            self.depth -= 1
            if isinstance(exponent, Sym) and exponent.name in ("T", "top", "intercal") and isinstance(base, Matrix):
                return Matrix(tuple(zip(*base.rows, strict=True)))
            base = self.postfix(Call("^", (base, exponent)))
        return base

    def exponent(self) -> Node:
        if self.is_op("+", "-") or self.is_command("pm", "mp"):
            return self.signed(self.exponent)
        if self.is_command("top", "intercal", "prime"):
            return Sym(self.take().value)
        return self.power_atom()

    def power_atom(self) -> Node:
        node = self.postfix(self.atom(exponent=True))
        if self.is_op("^"):
            self.take()
            self.nest()
            node = Call("^", (node, self.exponent()))
            self.depth -= 1
        return node

    def postfix(self, node: Node) -> Node:
        while True:
            if self.is_op("!"):
                self.take()
                double = self.is_op("!") and not self.peek().space  # type: ignore[union-attr]
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

    # -- atoms -------------------------------------------------------------------------------------------------------

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

    def argument(self) -> Node:
        """The argument of a LaTeX command: a group, one digit, or one atom."""
        if self.is_op("{"):
            return self.atom()
        token = self.peek()
        if token is not None and token.kind == "number" and len(token.value) > 1 and token.value.isdigit():
            self.tokens[self.at] = Token("number", token.value[1:])
            return number(int(token.value[0]))
        return self.atom()

    def fraction(self) -> Node:
        top, bottom = self.argument(), self.argument()
        derivative = _derivative(top, bottom)
        if derivative is None:
            return Call("/", (top, bottom))
        variable, order = derivative
        body = self.signed(self.power if self.is_op("(", "[", "{") else self.term)
        for _ in range(order):
            body = Call("diff", (variable, body))
        return body

    def command(self, name: str) -> Node:
        if name == "frac":
            return self.fraction()
        if name == "binom":
            return Call("binom", (self.argument(), self.argument()))
        if name == "sqrt":
            return self.root()
        if name in _ACCENTS:
            return Call(f"accent:{'bar' if name == 'overline' else name}", (self.argument(),))
        if name in _CLOSING:
            inner = self.listing((_CLOSING[name],))
            self.expect(_CLOSING[name])
            if name == "langle":
                return Group("(", ")", inner.items) if isinstance(inner, Listing) else inner
            return Call("floor" if name == "lfloor" else "ceil", (inner,))
        if name == "emptyset":
            return NamedSet("empty")
        if name in ("sum", "prod"):
            return self.big(name)
        if name in ("int", "iint", "oint"):
            return self.integral()
        if name == "lim":
            return self.limit()
        if name in ("angle", "triangle", "measuredangle"):
            inner = self.power()
            while (token := self.peek()) is not None and token.kind == "symbol":
                inner = Call("*", (inner, self.symbol(self.take().value)))
            return Call("accent:angle", (inner,))
        if name in ("euro", "pounds", "yen", "rupee"):
            return Quantity(self.power(), CURRENCIES.get(name, name))
        if name == "boxed":
            return self.argument()
        if name == "repeating":
            return self.repeating()
        if name == "neg":
            raise ParseError("a negation")
        raise ParseError(f"unknown command \\{name[:20]}")

    def repeating(self) -> Node:
        """\\repeating{whole}{fixed}{repeated}, which `parse` writes for every notation of a repeating decimal."""
        parts = []
        for _ in range(3):
            self.expect("{")
            parts.append("" if self.is_op("}") else self.take().value)
            self.expect("}")
        whole, fixed, repeated = parts
        value = Fraction(int(whole + fixed or "0"), 10 ** len(fixed))
        return Num(value + Fraction(int(repeated), (10 ** len(repeated) - 1) * 10 ** len(fixed)))

    def root(self) -> Node:
        degree: Node = number(2)
        if self.is_op("["):
            self.take()
            degree = self.sum()
            self.expect("]")
        token = self.peek()
        if token is not None and token.kind == "number":
            return Call("root", (decimal(self.take().value), degree))
        return Call("root", (self.atom(), degree))

    def function(self, name: str) -> Node:
        """sin^2 x, \\log_2 8, f applied to a bracket or to the factors that follow."""
        if name == "sqrt":
            return self.root()
        power: Node | None = None
        base: Node | None = None
        while self.is_op("^", "_"):
            if self.take().value == "^":
                power = self.exponent()
            else:
                base = self.argument() if self.is_op("{") else self.atom(exponent=True)
        if self.is_op("(", "[", "{", "\\{"):
            inner = self.atom()
        else:
            inner = self.function_argument()
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

    def function_argument(self) -> Node:
        node = self.signed(self.power)
        while (token := self.peek()) is not None and self.starts_factor(token):
            if (
                token.kind == "function"
                or token.kind == "number"
                or (token.kind == "command" and token.value not in ("frac", "sqrt"))
            ):
                break
            if token.kind == "open" and token.value != "{":
                break
            node = Call("*", (node, self.power()))
        return node

    def big(self, name: str) -> Node:
        """A sum or product over an index, with both bounds."""
        index, low, high = None, None, None
        while self.is_op("_", "^"):
            if self.take().value == "^":
                high = self.argument() if self.is_op("{") else self.atom(exponent=True)
            else:
                self.expect("{")
                index = self.atom()
                self.expect("=")
                low = self.sum()
                self.expect("}")
        if not isinstance(index, Sym) or low is None or high is None:
            raise ParseError(f"\\{name} without an index and two bounds")
        return Call(name, (index, low, high, self.signed(self.term)))

    def integral(self) -> Node:
        low, high = None, None
        while self.is_op("_", "^"):
            if self.take().value == "^":
                high = self.argument() if self.is_op("{") else self.exponent()
            else:
                low = self.argument() if self.is_op("{") else self.signed(self.atom)
        end = next((i for i in range(self.at, len(self.tokens) - 1) if self.is_differential(i)), None)
        if low is None or high is None or end is None:
            raise ParseError("an integral without bounds or differential")
        variable = Sym(self.tokens[end + 1].value)
        inner = type(self)(self.tokens[self.at : end])
        inner.depth = self.depth
        body = inner.sum() if inner.tokens else number(1)
        if inner.at != len(inner.tokens):
            raise ParseError("an integrand that does not parse")
        self.at = end + 2
        return Call("int", (variable, low, high, body))

    def is_differential(self, index: int) -> bool:
        """Whether `d x` stands at a place."""
        first, second = self.tokens[index], self.tokens[index + 1]
        return first.kind == second.kind == "symbol" and first.value == "d"

    def limit(self) -> Node:
        self.expect("_")
        self.expect("{")
        variable = self.atom()
        self.expect("to")
        target = self.sum_without_power()
        side = ""
        if self.is_op("^"):
            self.take()
            group = self.is_op("{")
            side = self.take().value if not group else (self.take(), self.take())[1].value
            if group:
                self.expect("}")
        self.expect("}")
        if not isinstance(variable, Sym) or side not in ("", "+", "-"):
            raise ParseError("a limit of no variable, or from no side")
        return Call("lim", (variable, target, number(-1 if side == "-" else 1), self.signed(self.term)))

    def sum_without_power(self) -> Node:
        """What a limit goes to: a sign, an atom, and a sum only in brackets."""
        if self.is_op("-", "+"):
            return Call("neg", (self.sum_without_power(),)) if self.take().value == "-" else self.sum_without_power()
        node = self.atom()
        while self.is_op("/"):
            self.take()
            node = Call("/", (node, self.atom()))
        return node


def _derivative(top: Node, bottom: Node) -> tuple[Sym, int] | None:
    """(x, n) of d^n / dx^n; None for any other fraction."""
    order, marks = 1, ("d", "partial")
    if isinstance(top, Call) and top.name == "^" and isinstance(top.args[1], Num) and top.args[1].value in (2, 3):
        top, order = top.args[0], top.args[1].value.numerator
    if not (isinstance(top, Sym) and top.name in marks and isinstance(bottom, Call) and bottom.name == "*"):
        return None
    mark, variable = bottom.args
    if order > 1 and isinstance(variable, Call) and variable.name == "^":
        variable = variable.args[0]
    return (variable, order) if mark == top and isinstance(variable, Sym) else None


_FACTOR_COMMANDS = frozenset(
    "frac binom sqrt sum prod int lim boxed repeating angle triangle emptyset euro pounds yen".split()
)


def plain_unit(node: Node) -> tuple[Node, str] | None:
    """`3s`, `15 m^2`: a number times letters that are a unit, as (number, unit); None for anything else."""
    letters: list[str] = []
    while isinstance(node, Call) and node.name in ("*", "/", "^"):
        left, right = node.args
        if node.name == "^" and isinstance(left, Call) and left.name == "*" and isinstance(right, Num):
            return None
        if isinstance(right, Sym):
            letters.insert(0, ("/" if node.name == "/" else "") + right.name)
            node = left
        elif (
            isinstance(right, Call)
            and right.name == "^"
            and isinstance(right.args[0], Sym)
            and isinstance(right.args[1], Num)
        ):
            letters.insert(0, f"{right.args[0].name}^{right.args[1].value}")
            node = left
        elif node.name == "/" and isinstance(left, Quantity) and isinstance(right, Sym):
            letters.insert(0, "/" + right.name)
            node = left
        else:
            break
    text = "".join(letters)
    base = text.partition("^")[0].partition("/")[0]
    if letters and is_unit_symbol(base):
        return node, text
    return None
