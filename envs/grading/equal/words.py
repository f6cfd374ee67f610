"""Answers in words: one form for each, and the meanings that are mathematics."""

from __future__ import annotations

import re

from envs.grading.read.letters import WRAPPERS
from envs.grading.read.nodes import INFINITY, NamedSet, Node, Words, number

_ARTICLES = re.compile(r"^(?:(?:it|this|that|the answer|answer|the result|they) (?:is|are) )?(?:(?:an|a|the) )?")
_NUMBERS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
            "fifteen sixteen seventeen"
        " eighteen nineteen twenty".split()
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90, "hundred": 100,
     "one hundred": 100, "thousand": 1000, "one thousand": 1000}  # fmt: skip
_TENS = {"twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"}
_EMPTY = {
    "no solution", "no solutions", "no real solution", "no real solutions", "there is no solution", "empty set",
    "there are no solutions", "no such number", "no such x", "null set", "no real roots", "no answer",
    "has no solution",
    "no such numbers exist", "no solution exists", "no solutions exist",
}  # fmt: skip
_REALS = {
    "all real numbers", "all reals", "real numbers", "set of real numbers", "all real", "any real number", "reals",
    "set of all real numbers", "all x", "all real x", "all real values", "every real number", "entire real line",
    "all real values of x", "all real numbers x",
}  # fmt: skip
_SYNONYMS = {
    "dne": "does not exist", "limit does not exist": "does not exist", "doesnt exist": "does not exist",
    "undefined": "does not exist", "not defined": "does not exist", "infinite": "infinitely many",
    "infinitely many solutions": "infinitely many", "infinite solutions": "infinitely many",
    "infinite number of solutions": "infinitely many", "correct": "true", "right": "true",
    "incorrect": "false", "wrong": "false",
}  # fmt: skip


def plain(text: str) -> str:
    """Lower case, without markup, punctuation, articles or repeated spaces."""
    text = WRAPPERS.sub(" ", text).replace("\\", " ").replace("dollar", "$")
    text = re.sub(r"[{}.,;:!?\"'`()\[\]$*_#]", " ", text).replace("-", " ")
    text = " ".join(text.lower().split())
    return _ARTICLES.sub("", text, count=1) or text


def meaning(node: Words) -> Node:
    """What words say in mathematics, or the words themselves in one form."""
    text = plain(node.text)
    if text in _NUMBERS:
        return number(_NUMBERS[text])
    first, _, second = text.partition(" ")
    if first in _TENS and 1 <= _NUMBERS.get(second, 0) <= 9:
        return number(_NUMBERS[first] + _NUMBERS[second])
    if text in _EMPTY:
        return NamedSet("empty")
    if text in _REALS:
        return NamedSet("R")
    if text in ("infinity", "positive infinity"):
        return INFINITY
    if text in ("integers", "all integers", "set of integers", "set of all integers"):
        return NamedSet("Z")
    return Words(_SYNONYMS.get(text, text))
