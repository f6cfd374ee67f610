"""A cleaned answer as tokens. Every character belongs to a token, or the answer is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

from envs.grading.guard import MAX_DIGITS, MAX_TOKENS, TooCostly
from envs.grading.read.units import is_unit

FUNCTIONS = frozenset(
    "sin cos tan cot sec csc arcsin arccos arctan arccot arcsec arccsc sinh cosh tanh coth "
    "sech csch arsinh arcosh artanh"
    " arcsinh arccosh arctanh ln log lg exp sqrt cbrt abs max min gcd lcm det floor ceil arg Re Im sgn sign".split()
)
_RENAMED = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "cosec": "csc", "tg": "tan", "ctg": "cot",
            "ceiling": "ceil", "sqr": "sqrt", "log10": "lg", "root": "sqrt"}  # fmt: skip
GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron rho sigma tau upsilon phi chi psi"
    " omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega ell hbar partial nabla odot aleph Alpha Beta"
    " Epsilon Zeta Eta Iota Kappa Mu Nu Omicron Rho Tau Chi wp infty".split()
)
_PLAIN_SYMBOLS = {"pi": "pi", "infty": "infinity", "infinity": "infinity", "oo": "infinity", "inf": "infinity",
                  "Infinity": "infinity"}  # fmt: skip
_PLAIN_COMMANDS = {"sqrt": "sqrt", "cup": "cup", "cap": "cap", "union": "cup", "intersect": "cap",
                   "emptyset": "emptyset", "choose": "choose", "mod": "mod", "frac": "frac", "pm": "pm",
                   "in": "in"}  # fmt: skip
CONNECTIVES = {"and": "and", "or": "or", "and/or": "or", "&": "and", "y": "and", "et": "and", "ou": "or", "und": "and",
               "oder": "or", ",": ",", ";": ",", "also": "and", "plus": "and"}  # fmt: skip
_ESCAPED = {"{": ("open", "\\{"), "}": ("close", "\\}"), "%": ("op", "%"), "\\": ("row", "\\\\"), "|": ("op", "|"),
            "$": ("text", "dollar"), "&": ("op", "&")}  # fmt: skip
_CONNECTING_WORDS = {"and", "or"}

_MASTER = re.compile(
    r"(?P<space> +)"
    r"|(?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+(?![A-Za-z\d]))?)"
    r"|\\(?P<text>text|mathrm|mathbb|Bbb|unit|si|SI)(?![A-Za-z])\s*"
    r"|\\(?P<environment>begin|end)\s*\{(?P<kind>[a-zA-Z]+\*?)\}(?:\s*\[[a-z]\])?(?P<columns>\s*\{[lcr|@{}! ]*\})?"
    r"|\\(?P<command>[A-Za-z]+)"
    r"|\\(?P<escaped>[{}%$&#_|\\])"
    r"|(?P<letters>[A-Za-z]+)"
    r"|(?P<operator>[-+*/^_=<>!|,;:()\[\]{}'%&.#@?\"`])"
    r"|(?P<other>[^\x00-\x7f]+)"
)


class ParseError(Exception):
    """The answer is not a formula of the grammar."""


@dataclass(slots=True)
class Token:
    """`kind`: number, symbol, function, command, text, set, connective, op, open, close, begin, end, row or gap.

    `space`: whether one stands before it.
    """

    kind: str
    value: str
    space: bool = False


def tokenize(text: str) -> list[Token]:
    """Tokens of a cleaned answer; raises ParseError for a character that belongs nowhere, TooCostly past the bounds."""
    tokens: list[Token] = []
    at, space = 0, False
    while at < len(text):
        match = _MASTER.match(text, at)
        if match is None:
            raise ParseError(f"unexpected {text[at : at + 10]!r}")
        kind = match.lastgroup if match.lastgroup not in ("kind", "columns") else "environment"
        end = match.end()
        if kind == "space":
            at, space = end, True
            continue
        first = len(tokens)
        if kind == "number":
            if len(match.group()) > MAX_DIGITS:
                raise TooCostly(f"a number of more than {MAX_DIGITS} digits")
            tokens.append(Token("number", match.group()))
        elif kind == "text":
            end = _text(match.group("text"), text, end, tokens)
        elif kind == "environment":
            tokens.append(Token(match.group("environment"), match.group("kind").rstrip("*")))
        elif kind == "command":
            tokens.append(_command(match.group("command")))
        elif kind == "escaped":
            char = match.group("escaped")
            if char not in _ESCAPED:
                raise ParseError(f"unexpected \\{char}")
            tokens.append(Token(*_ESCAPED[char]))
        elif kind == "letters":
            glued = bool(tokens) and not space and tokens[-1].kind == "number"
            subscript = bool(tokens) and tokens[-1].kind == "op" and tokens[-1].value == "_"
            _letters(match.group(), glued, subscript, text, end, tokens)
        elif kind == "operator":
            char = match.group()
            tokens.append(Token("open" if char in "([{" else "close" if char in ")]}" else "op", char))
        else:
            tokens.append(Token("text", match.group()))
        if len(tokens) > first:
            tokens[first].space = space
        at, space = end, False
        if len(tokens) > MAX_TOKENS:
            raise TooCostly(f"more than {MAX_TOKENS} tokens")
    return _join_words(tokens)


def _text(command: str, text: str, at: int, tokens: list[Token]) -> int:
    r"""The argument of \text or \mathrm, from `at`; returns where it ends."""
    if at < len(text) and text[at] == "{":
        end = closing_brace(text, at)
        content = text[at + 1 : end]
        end += 1
    else:
        end = min(at + 1, len(text))
        content = text[at:end]
    content = content.replace("\\text", "").replace("\\mathrm", "").replace("{", "").replace("}", "").replace("~", " ")
    content = (
        content.replace("\\ ", " ").replace("\\%", "%").replace("\\$", "$").replace("\\", " ").strip()
        if "\\" in content
        else content.strip()
    )
    if command in ("mathbb", "Bbb"):
        tokens.append(Token("set", content))
    elif not content:
        pass
    elif command == "mathrm" and len(content) == 1 and content.isalpha():
        tokens.append(Token("symbol", content))
    elif (content in FUNCTIONS or content in _RENAMED) and not _is_time(content, tokens):
        tokens.append(Token("function", _RENAMED.get(content, content)))
    elif re.fullmatch(r"[-+]?(\d+(\.\d+)?|\.\d+)", content):  # a number set as text is a number
        if content[0] in "+-":
            tokens.append(Token("op", content[0]))
        tokens.append(Token("number", content.lstrip("+-")))
    elif content in ("$", "US$"):
        tokens.append(Token("text", "dollar"))
    elif content == "to":  # 2 to 3
        tokens.append(Token("op", ":"))
    elif re.match(r"[-+]?\d|\.\d", content) and not re.match(r"\d+(st|nd|rd|th)\b", content):
        tokens.extend(tokenize(content))
    elif content.lower() in CONNECTIVES:
        tokens.append(Token("connective", CONNECTIVES[content.lower()]))
    else:
        tokens.append(Token("text", content))
    return end


def _is_time(word: str, tokens: list[Token]) -> bool:
    """Minutes and seconds after a number, which are no minimum and no secant."""
    return word in ("min", "sec") and bool(tokens) and (tokens[-1].kind == "number" or tokens[-1].value == "}")


def closing_brace(text: str, at: int) -> int:
    """Index of the brace that closes the one at `at`; raises ParseError when there is none."""
    depth = 0
    for index in range(at, len(text)):
        if text[index] == "\\":
            continue
        if text[index] == "{" and text[index - 1 : index] != "\\":
            depth += 1
        elif text[index] == "}" and text[index - 1 : index] != "\\":
            depth -= 1
            if depth == 0:
                return index
    raise ParseError("unbalanced braces")


def _command(name: str) -> Token:
    if name in FUNCTIONS or name in _RENAMED:
        return Token("function", _RENAMED.get(name, name))
    if name in ("quad", "qquad"):
        return Token("gap", name)
    if name == "newline" or name == "cr":
        return Token("row", name)
    if name == "pi":
        return Token("symbol", "pi")
    if name in ("infty", "infinity"):
        return Token("symbol", "infinity")
    if name in GREEK:
        return Token("symbol", name)
    return Token("command", name)


def _letters(run: str, glued: bool, subscript: bool, text: str, end: int, tokens: list[Token]) -> None:
    """A run of plain letters: a function, a constant, a word or unit, or a product of one-letter symbols."""
    if subscript:
        tokens.append(Token("symbol", run))
        return
    if _is_time(run, tokens):
        tokens.append(Token("text", run))
    elif len(run) == 2 and run.isupper() and run not in ("AM", "PM") and run != text and not is_unit(run):  # NO
        tokens.extend(Token("symbol", char) for char in run)
    elif run in FUNCTIONS or run in _RENAMED:
        tokens.append(Token("function", _RENAMED.get(run, run)))
    elif run in _PLAIN_SYMBOLS:
        tokens.append(Token("symbol", _PLAIN_SYMBOLS[run]))
    elif (
        len(run) > 1
        and run in _PLAIN_COMMANDS
        and not (run == "in" and text[end:].lstrip()[:1] not in ("(", "[", "{", "\\"))
    ):
        tokens.append(Token("command", _PLAIN_COMMANDS[run]))
    elif run == "to" and tokens and tokens[-1].kind == "number" and text[end : end + 2].strip().isdigit():
        tokens.append(Token("op", ":"))
    elif run.lower() in _CONNECTING_WORDS:
        tokens.append(Token("connective", run.lower()))
    elif len(run) > 2 and run in GREEK:
        tokens.append(Token("symbol", run))
    elif len(run) == 1:
        tokens.append(Token("symbol", run))
    elif is_unit(run) or (len(run) >= 4 and not (glued and not is_unit(run))) or _looks_like_word(run):
        tokens.append(Token("text", run))
    else:
        for prefix in sorted(_PREFIXES, key=len, reverse=True):
            if run.startswith(prefix) and len(run) - len(prefix) in (1, 2):
                tokens.append(Token("function", _RENAMED.get(prefix, prefix)))
                run = run[len(prefix) :]
                break
        if run.endswith("pi") and len(run) > 2:
            tokens.extend(Token("symbol", char) for char in run[:-2])
            tokens.append(Token("symbol", "pi"))
        else:
            tokens.extend(Token("symbol", char) for char in run)


_PREFIXES = ("sin", "cos", "tan", "ln", "log", "cot", "sec", "csc")
_SHORT_WORDS = frozenset(
    "yes no not the all are any too an is of to at by as be it if on per non none nor but has "
    "was one two six ten odd even"
    " red day days hour min sec mph rpm kph units unit pm am dne".split()
)


def is_formula_word(word: str) -> bool:
    """Whether a plain word is a function, a constant or a Greek letter."""
    return word in FUNCTIONS or word in _RENAMED or word in GREEK or word in _PLAIN_SYMBOLS or word in _PLAIN_COMMANDS


def _looks_like_word(run: str) -> bool:
    """Short words of the language, and names: a capital and small letters."""
    return run.lower() in _SHORT_WORDS or (len(run) > 2 and run[0].isupper() and run[1:].islower())


def _join_words(tokens: list[Token]) -> list[Token]:
    """Words that follow each other are one text token."""
    joined: list[Token] = []
    for token in tokens:
        if (
            token.kind == "text"
            and joined
            and joined[-1].kind == "text"
            and "dollar" not in (token.value, joined[-1].value)
        ):
            joined[-1].value += (" " if token.space else "") + token.value
        else:
            joined.append(token)
    return joined
