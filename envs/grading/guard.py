"""Bounds that are checked before anything is evaluated; what exceeds them is undecided, "too costly"."""

from __future__ import annotations

MAX_CHARS = 5_000  # of an answer; equal text is equal at any length
MAX_TOKENS = 1_500
MAX_DEPTH = 40  # of nested brackets, powers and functions
MAX_DIGITS = 4_000  # of one number
MAX_BITS = 200_000  # of an exact integer
MAX_FACTORIAL = 20_000
MAX_TERMS = 1_000  # of a sum or a product
MAX_ITEMS = 200  # of a list, set or matrix
MAX_NODES = 3_000  # of two matrices that are multiplied


class TooCostly(Exception):
    """An answer exceeds a bound; the message says which."""


def check_text(text: str) -> None:
    """Length and nesting of a raw answer; raises TooCostly."""
    if len(text) > MAX_CHARS:
        raise TooCostly(f"longer than {MAX_CHARS} characters")
    depth = deepest = 0
    for char in text:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth -= 1
    if deepest > MAX_DEPTH:
        raise TooCostly(f"nested deeper than {MAX_DEPTH}")
    if text.count("^") > MAX_DEPTH * 5:
        raise TooCostly("too many powers")
