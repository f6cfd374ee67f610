"""The place in a list of tokens that a recursive descent has come to."""

from __future__ import annotations

from abc import ABC, abstractmethod

from envs.grading.guard import MAX_DEPTH, TooCostly
from envs.grading.nodes import Node
from envs.grading.tokens import ParseError, Token


class Cursor(ABC):
    """A place in `tokens`, and what is read at it by the parsers above: each level of the grammar is a class."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.at = tokens, 0
        self.depth = 0
        self.bars = 0  # open absolute values
        self.builder = 0  # > 0 where a bar separates, not opens

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

    # What lower levels read by way of higher ones.

    @abstractmethod
    def listing(self, closers: tuple[str, ...]) -> Node:
        """What stands between brackets."""

    @abstractmethod
    def sum(self) -> Node:
        """Terms with signs between them."""

    @abstractmethod
    def signed(self, read: object) -> Node:
        """Signs, and what `read` reads."""

    @abstractmethod
    def term(self) -> Node:
        """Factors with products and quotients between them."""

    @abstractmethod
    def power(self) -> Node:
        """An atom with its exponents."""

    @abstractmethod
    def exponent(self) -> Node:
        """What follows `^`."""

    @abstractmethod
    def starts_factor(self, token: Token) -> bool:
        """Whether a factor may begin at the token."""

    @abstractmethod
    def command(self, name: str) -> Node:
        """What a command means."""

    @abstractmethod
    def fraction(self) -> Node:
        """What follows a fraction's command."""

    @abstractmethod
    def function(self, name: str) -> Node:
        """A function and its argument."""
