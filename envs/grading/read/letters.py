"""Letters of multiple choice."""

from __future__ import annotations

import re

WRAPPERS = re.compile(r"\\(?:text|mathrm|mathbf|textbf|boxed|operatorname)(?![a-zA-Z])\s*")
_LETTER = re.compile(r"(?i:(?:option|choice|answer|answer is)[ :]*)?[(\[{]?\s*([A-Ja-j])\s*[)\]}]?\s*[.:]?")
_LETTER_AND_MORE = re.compile(
    r"(?i:(?:option|choice)[ :]*)?(?:[(\[]\s*([A-J])\s*[)\]]|([A-J])\s*(?:\)|\.(?!\d)"
    r"|:(?!\d)))(?:\s*[.:]?\s+|\s*[.:]\s*|(?=[\d$]))(?![\^_+*=/,;&)\]-]|and\b|or\b)(\S.*)",
    re.DOTALL,
)


def letter(text: str) -> str | None:
    """The letter of an answer that is a letter of multiple choice and nothing else: `C`, `(C)`, `C.`, `\\text{(C)}`."""
    match = _LETTER.fullmatch(_unwrapped(text))
    return match.group(1) if match else None


def letter_and_more(text: str) -> tuple[str, str] | None:
    """(letter, rest) of `(C) 12` or `C. 12`; None for anything else."""
    match = _LETTER_AND_MORE.fullmatch(_unwrapped(text))
    return (match.group(1) or match.group(2), match.group(3)) if match else None


def is_marked(text: str) -> bool:
    """Whether a single letter is marked as a choice, by brackets or as text, and is no variable."""
    return "(" in text or "\\text" in text


def _unwrapped(text: str) -> str:
    text = WRAPPERS.sub("", text).strip()
    text = re.sub(r"\\(?:quad|qquad)", " ", text)
    previous = None
    while previous != text and text.startswith("{") and text.endswith("}"):
        previous, text = text, text[1:-1].strip()
    return " ".join(text.replace("{", "").replace("}", "").replace("*", " ").split())
