"""Recursive descent over tokens, from sums down to powers; below them `commands` and `atoms`."""

from __future__ import annotations

from envs.grading.commands import ACCENTS, CLOSING, CommandParser
from envs.grading.nodes import Call, Group, Listing, Matrix, NamedSet, Node, Num, Quantity, SetOp, Sym, Words, number
from envs.grading.tokens import ParseError, Token
from envs.grading.units import is_unit_symbol

_FACTOR_COMMANDS = frozenset(
    "frac binom sqrt sum prod int lim boxed repeating angle triangle emptyset euro pounds yen".split()
)


class ExpressionParser(CommandParser):
    """Reads sums, products and powers."""

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
            return token.value in _FACTOR_COMMANDS or token.value in ACCENTS or token.value in CLOSING
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
