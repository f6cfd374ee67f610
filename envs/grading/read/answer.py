"""From an answer's text to its tree: notations that the grammar does not have, then the grammar.

The whole text must be consumed, or the answer is refused with ParseError: no guess is made from a part of it.
"""

from __future__ import annotations

import re

from envs.grading.guard import MAX_ITEMS, TooCostly, check_text
from envs.grading.read.atoms import BASE_WORDS
from envs.grading.read.clean import clean
from envs.grading.read.nodes import (
    Based,
    Braces,
    Colon,
    Listing,
    NamedSet,
    Node,
    Quantity,
    Relation,
    SetOp,
    Words,
    number,
)
from envs.grading.read.parser import parse_tokens
from envs.grading.read.tokens import ParseError, Token, is_formula_word, tokenize

_DIGITS = r"(\d*)\.(\d*)"
_REPEATING = [
    re.compile(_DIGITS + r"\s*\\(?:overline|bar|overset\{-\}|widebar|dot)\s*\{?\s*(\d+)\s*\}?"),
    re.compile(_DIGITS + r"\((\d+)\)(?![\d(])"),
    re.compile(r"(\d*)\.(\d{0,12}?)(\d{2,12}?)\3+\d{0,11}\s*\\ldots"),
    re.compile(r"(\d*)\.(\d{0,12}?)(\d)\3{2,}\s*\\ldots"),
]
_DOTTED = re.compile(_DIGITS + r"\\dot\{?(\d)\}?(\d*)\\dot\{?(\d)\}?")
_TIME = re.compile(
    r"(?:\\text\s*\{\s*)?(\d{1,2}):([0-5]\d)(?::([0-5]\d))?\s*(?:(?:\\text\s*\{\s*)?([AaPp])\s*\.?\s*[Mm]\s*\.?\s*)?\}?"
)
_LETTERED = re.compile(
    r"(-?)\s*\(?\s*(?:\\text\s*\{)?\s*([0-9A-Fa-f]*[0-9][0-9A-Fa-f]*)\}?\s*\)?"
    r"\s*_\s*\{?\s*(?:\\text\s*\{?)?([a-z0-9 ]+?)\}*"
)
_IN_BASE = re.compile(
    r"(-?)\s*([0-9A-Fa-f]+)\s*(?:\\text\s*\{\s*)?\(?\s*(?:in"
    r"|to)?\s*base[- ]*\{?([a-z0-9]+)\)?\s*\}?\)?"
)
_DEGREE = re.compile(r"(\\sqrt\s*)\[([^\[\]]*)\]")  # of a root, whose brackets are no interval's
_FRENCH = re.compile(r"([\[\]])([^\[\]()]*[^\[\](),\s][^\[\](),]*[,;][^\[\](),]*[^\[\](),\s][^\[\]()]*)([\[\]])")
_CASES = re.compile(r"\\\{\s*\\begin\{(?:array|aligned|matrix|gathered|cases|split)\}(?:\{[lcr|]*\})?")
_EXCEPT = re.compile(
    r"(?:\\text\s*\{)?\s*all reals?(?: numbers?)?(?: [a-z])?,? (?:except|but|other than"
    r"|excluding)(?: for)?\s*\}?\s*(.{1,100})"
)
_PLAIN_WORDS = re.compile(r"[A-Za-z]+(?:[ -][A-Za-z]+)*")


def parse(text: str, thousands: bool = True) -> Node:
    """The tree of an answer as a model or a dataset wrote it; raises ParseError or TooCostly."""
    return parse_clean(clean(text), thousands)


def parse_clean(text: str, thousands: bool = True) -> Node:
    """`parse` of a text that `clean` has seen. Without `thousands`, a comma between digits separates."""
    check_text(text)
    if not text:
        raise ParseError("nothing is there")
    special = _time(text) or _based(text) or _prose(text) or _exceptions(text)
    if special is not None:
        return special
    tokens = tokenize(_notations(text))
    if thousands:
        tokens = _join_thousands(tokens)
    node = parse_tokens(tokens)
    return _word_list(node.text) if isinstance(node, Words) else node


def read(text: str, thousands: bool = True) -> Node | str:
    """`parse_clean`, or why it refuses the text."""
    try:
        return parse_clean(text, thousands)
    except ParseError as error:
        return str(error)
    except TooCostly as error:
        return f"too costly: {error}"
    except RecursionError:
        return "too deep"


def parses(text: str) -> str | None:
    """None for an answer that can be graded by more than its text, else why it cannot."""
    node = read(clean(text))
    return node if isinstance(node, str) else None


def _time(text: str) -> Node | None:
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    digits = tuple(part for part in match.group(1, 2, 3) if part is not None)
    colon = Colon(tuple(number(int(part)) for part in digits), digits)
    half = match.group(4)
    return colon if half is None else Quantity(colon, f"{half.lower()}m")


def _prose(text: str) -> Node | None:
    """Plain words and nothing else; single letters and names of functions among them are left to the grammar."""
    if not _PLAIN_WORDS.fullmatch(text):
        return None
    words = re.split(r"[ -]", text)
    if not any(len(word) > 3 for word in words) or any(is_formula_word(word) for word in words):
        return None
    return _word_list(text)


def _exceptions(text: str) -> Node | None:
    """`all real numbers except 3`."""
    match = _EXCEPT.fullmatch(text)
    if match is None:
        return None
    inner = parse_clean(match.group(1).strip())
    items = inner.items if isinstance(inner, (Listing, Braces)) else (inner,)
    values = tuple(item.sides[-1] if isinstance(item, Relation) else item for item in items)
    return SetOp("difference", NamedSet("R"), Braces(values))


def _word_list(text: str) -> Node:
    """Words, or a list where commas or "and" part them."""
    items = [item.strip() for item in re.split(r",|;|\band\b|\bor\b", text) if item.strip()]
    return Words(text) if len(items) < 2 or len(items) > MAX_ITEMS else Listing(tuple(map(Words, items)), "and")


def _based(text: str) -> Node | None:
    """Numbers whose digits are letters, in brackets, or whose base is said in words."""
    match = _IN_BASE.fullmatch(text) or (_LETTERED.fullmatch(text) if "_" in text else None)
    if match is None:
        return None
    sign, digits, name = match.groups()
    name = name.replace("base", "").strip()
    base = BASE_WORDS.get(name, int(name) if name.isdigit() and len(name) < 4 else 0)
    if not 2 <= base <= 36 or any(int(d, 36) >= base for d in digits):
        return None
    return Based(digits.upper().lstrip("0") or "0", base, sign == "-")


def _notations(text: str) -> str:
    """Repeating decimals, intervals with reversed brackets and systems in the grammar's own spelling."""
    if "." in text:
        text = _DOTTED.sub(r"\\repeating{\1}{\2}{\3\4\5}", text)
        for pattern in _REPEATING:
            text = pattern.sub(r"\\repeating{\1}{\2}{\3}", text)
    if "]" in text or "[" in text:
        text = _DEGREE.sub("\\1\x01\\2\x02", text)
        text = _FRENCH.sub(_french, text).replace("\x01", "[").replace("\x02", "]")
    if "\\begin" in text:
        text = _CASES.sub(r"\\begin{cases}", text)
    return text


def _french(match: re.Match[str]) -> str:
    opening, inside, closing = match.groups()
    if (opening, closing) == ("[", "]"):
        return match.group()
    return ("(" if opening == "]" else "[") + inside + (")" if closing == "[" else "]")


def _join_thousands(tokens: list[Token]) -> list[Token]:
    """`1,234,567` outside brackets is one number; within brackets it is where a group begins with 0."""
    joined: list[Token] = []
    depth, at = 0, 0
    while at < len(tokens):
        token = tokens[at]
        if token.value in ("(", "[", "\\{"):
            depth += 1
        elif token.value in (")", "]", "\\}"):
            depth -= 1
        elif token.kind == "number" and re.fullmatch(r"[1-9]\d{0,2}", token.value):
            digits = token.value
            whole = not depth or (at + 2 < len(tokens) and tokens[at + 2].value.startswith("0"))
            while whole and at + 2 < len(tokens) and _is_group(tokens[at + 1], tokens[at + 2]):
                digits += tokens[at + 2].value
                at += 2
                if "." in digits:
                    break
            token = Token("number", digits, token.space)
        joined.append(token)
        at += 1
    return joined


def _is_group(comma: Token, group: Token) -> bool:
    return (
        comma.value == ","
        and not comma.space
        and group.kind == "number"
        and not group.space
        and re.fullmatch(r"\d{3}(\.\d+)?", group.value) is not None
    )
