"""What stands around an answer and is no part of it: prose before it, an approximation or reason after it, and for
which constants it holds."""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST = 200  # characters of a remark
_TEXT = r"\\text\s*\{"
_NEGATED = re.compile(
    r"\b(?:not|no|never|none|cannot|neither|nor|without|wrong|incorrect|except|unless|if)\b|n't", re.IGNORECASE
)
_PROSE = re.compile(  # "The area is", "The value of x is", "There are"
    rf"(?:{_TEXT}[^{{}}]{{2,80}}\}}[^{{}}=<>]{{0,30}})?"
    rf"{_TEXT}[^{{}}]{{0,80}}\b(?:is|are|equals|equal to|be)\b\s*:?\s*\}}"
    r"|[A-Za-z][A-Za-z ,']{1,60}\b(?:is|are|equals|equal to) "
)
_APPROXIMATION = re.compile(  # (about 18.9), (\approx 1.41)
    rf"(?:{_TEXT})?\s*\(\s*(?:{_TEXT}\s*)?(?:or )?(?:about|approximately|approx\.?|roughly|around|nearly|\\approx)"
    r"(?![A-Za-z])[^()]*\)[\s}.]*$"
)
_REASON = re.compile(  # (rejecting x = -1), (since x > 0)
    rf"(?:{_TEXT})?\s*\(\s*(?:{_TEXT}\s*)?(?:rejecting|reject|discarding|discard|since|because)\b[^()]*\)[\s}}.]*$"
)
_SETS = r"\\(?:mathbb|Bbb|mathrm)\s*\{?\s*[RZNQC]\s*\}?(?:\s*[\^_]\s*\{?\s*[+*]\s*\}?)?"
_QUALIFIER = re.compile(
    rf"[ ,;(]{{0,4}}(?:{_TEXT})?[ ,;(]{{0,4}}(?:(?:for|with|where)\s+(?:any|all|every|each|some|an? arbitrary)\b[^<>=]*"
    rf"|(?:where|with)\b[^<>=]*\bconstants?\b[^<>=]*"
    rf"|(?<=[\s,;({{])(?:where\s*\}}?\s*)?[A-Za-z]\s*\\in\s*{_SETS}[\s)}}]*)$"
)
_LETTER = re.compile(r"(?<![A-Za-z\\])[A-Za-z](?![A-Za-z])")


class Qualified(NamedTuple):
    """An answer and what is said of the constants in it; `qualifier` is empty where nothing is."""

    answer: str
    qualifier: str


def without_remarks(text: str) -> str:
    """A cleaned answer without prose before it, and without an approximation or a reason in brackets after it."""
    if " " not in text and "\\" not in text:
        return text
    for pattern in (_APPROXIMATION, _REASON):
        match = pattern.search(text, max(1, len(text) - LONGEST))
        if match is not None:
            text = text[: match.start()].rstrip()
    match = _PROSE.match(text)
    if match is None or _NEGATED.search(match.group()) or not re.match(r"\s*[-+\\$({\d\[A-Za-z]", text[match.end() :]):
        return text
    rest = text[match.end() :].strip()
    return rest if re.search(r"\d|\\(?!text)|[=^]", rest) or len(rest) == 1 else text


def qualified(text: str) -> Qualified:
    """`f(x) = x + c` and `for any real c`. What bounds a variable, such as `for all x > 0`, is no qualifier."""
    match = _QUALIFIER.search(text, max(1, len(text) - LONGEST))
    if match is None or re.search(r"\\(?:le|ge|ne|notin)(?![a-z])", match.group()):
        return Qualified(text, "")
    answer = text[: match.start()].rstrip(" ,;(")
    constants = set(_LETTER.findall(re.sub(r"\\text|\\mathbb\s*\{?[A-Z]", " ", match.group())))
    if not constants & set(re.findall("[A-Za-z]", re.sub(r"\\[A-Za-z]+", " ", answer))):
        return Qualified(text, "")
    return Qualified(answer, match.group())
