"""Commands and their arguments."""

from __future__ import annotations

from fractions import Fraction

from envs.grading.atoms import AtomParser, decimal
from envs.grading.nodes import Braces, Call, E, Group, Listing, NamedSet, Node, Num, Quantity, Sym, number
from envs.grading.tokens import ParseError, Token
from envs.grading.units import CURRENCIES

CLOSING = {"lfloor": "rfloor", "lceil": "rceil", "langle": "rangle"}
ACCENTS = frozenset("vec hat bar overline tilde widehat widetilde overrightarrow dot ddot mathring acute check".split())


class CommandParser(AtomParser):
    """Reads LaTeX commands and their arguments: fractions, roots, functions, sums, integrals, limits."""

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
        if name in ACCENTS:
            return Call(f"accent:{'bar' if name == 'overline' else name}", (self.argument(),))
        if name in CLOSING:
            inner = self.listing((CLOSING[name],))
            self.expect(CLOSING[name])
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
