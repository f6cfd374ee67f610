"""The final answer of a solution's text.

In this order: the last box (boxes joined by "and", "or" or commas are one list), what follows the last "answer is" or
its like, `####`, bold type, the last formula, the last number. A short text that is an answer as a whole is returned
as it is. None means that there is no answer: it never votes and is never right.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from envs.grading.guard import MAX_CHARS
from envs.grading.read.answer import read
from envs.grading.read.clean import clean
from envs.grading.read.letters import letter, letter_and_more
from envs.grading.read.nodes import Named, Node, Relation, Sym, Words
from envs.grading.read.units import is_unit, is_unit_symbol
from envs.thoughts import TAIL, without_thoughts

MAX_BOXES = 60  # the last ones
MAX_MARKERS = 20
FORMULA_TAIL = 20_000  # characters of the end in which formulas are looked for
SHORT = 300  # characters of a text that may be an answer as a whole

_ANSWER_TAG = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.DOTALL | re.IGNORECASE)
_LEADING = re.compile(r"(?:<\|im_start\|>\s*assistant|<\|begin_of_solution\|>|<s>|<bos>|<\|assistant\|>)\s*")
_END = re.compile(
    r"<\|im_end\|>|<\|im_start\|>|<\|endoftext\|>|</s>|<eos>|<\|eot_id\|>|<\|end\|>"
    r"|<end_of_turn>|<｜end▁of▁sentence｜>|<\|end_of_solution\|>|\[EOS\]|<pad>"
)
_STEP_TAGS = re.compile(r"\s?ки\b|<\|?step\|?>|<extra_0>|<\|reserved_special_token_\d+\|>")

_BOX = re.compile(r"\\(?:boxed|fbox|framebox|bbox)(?![a-zA-Z])\s*(?:\[[^\]]{0,20}\]\s*)?")
_EMPTY_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{\s*\}")
_JOINT = re.compile(
    r"(?:[\s,;&$~`]|\\[()\[\],;:! ]|\\(?:quad|qquad|text|textrm|mathrm|mbox|left|right)(?![a-zA-Z])"
    r"|\\(?:text|textrm|mathrm|mbox)\s*\{\s*(?:and|or|,|;|\\?&)?\s*\}|\{|\}|\b(?:and|or)\b|[或和与及、，])*"
)
_MARKERS = re.compile(
    r"(?:(?:final|correct|right|our|my|required|desired|resulting)\s+)?(?:answer|solution|result|option|choice)s?"
    r"(?:\s+(?:to|of|for)\s+[^.\n:$]{0,80}?)?[*_\s]*(?:(?:\s+(?:is|are|was|will be|must be"
        r"|should be|would be|equals|becomes|=))|[:：=])"
    r"|(?:la\s+)?r[ée]ponse(?:\s+finale)?\s*(?:est|:)|(?:la\s+)?respuesta(?:\s+final)?\s*(?:es"
        r"|:)|antwort\s*(?:ist|:|lautet)|ответ\s*:?"
    r"|(?:最终|最后|正确)?(?:的)?(?:答案|结果)\s*(?:是|为|[:：=])|故选|应选|因此选|所以选",
    re.IGNORECASE,
)  # fmt: skip
_FINAL = re.compile(r"final answer\s*(?:is|:)", re.IGNORECASE)
_ANSWER_LINE = re.compile(r"^[\s*_#]*(?:final |correct )?answer[\s*_]*(?:is)?\s*[:：]", re.IGNORECASE | re.MULTILINE)
_CHOICE = re.compile(
    r"(?:option|choice|choose|pick|select|选项?)\s*(?:is\s*)?[:：]?\s*\(?\b([A-J])\b\)?", re.IGNORECASE
)
_HEADING = re.compile(r"\*\*\s*(?:final\s+)?answer\s*:?\s*\*\*\s*:?", re.IGNORECASE)
_HASHES = re.compile(r"####\s*(.+)")
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*(\s*[:：])?")
_BETWEEN_FORMULAS = re.compile(r"\s*(?:,(?:\s+(?:and|or))?|\s+(?:and|or))\s*(?=[$\\])")
_DELIMITER = re.compile(r"\\.|\$\$|\$", re.DOTALL)
_CLOSING = {"$": "$", "$$": "$$", "\\[": "\\]", "\\(": "\\)"}
_SPACES = re.compile(r"[^\S\n]{3,}|\n(?:[^\S\n]*\n){2,}")
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.,\\^/])(?:-\s?(?<![\d)\]}]\s-\s)(?<![\d)\]}]-)(?<![\d)\]}]\s-))?(?:\\?[$€£¥]\s?)?"
    r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:[.,]\d+)?|\.\d+)(?:\s?/\s?\d+(?:\.\d+)?(?!/))?(?:\s?\\?%)?(?![\d^_])"
)
_ORDINAL = re.compile(r"[A-Za-z]+")
_SENTENCE = re.compile(r"[.!?。]\s|\n")
_BEFORE_TIME = re.compile(r"\b(?:in|within|after|during|over|every|per)\s+(?:the\s+)?$", re.IGNORECASE)
_TIME = re.compile(r"\s*(?:second|minute|hour|day|night|week|month|year)s?\b", re.IGNORECASE)
_CONCLUSION = re.compile(
    r"(?:^|[.!?。！？\n$\])]\s*)(?:there (?:are|is)|we have|therefore|thus|hence|so|finally|in conclusion|in total"
    r"|consequently|donc|ainsi|因此|所以|综上(?:所述)?)"
    r"(?![A-Za-z])[,，:]?\s*",
    re.IGNORECASE,
)
_STOPS = re.compile(
    r"(?<=[^\s.])\.(?=\s|$|[*\"')\]])(?!\s*\d)|\n|。|；|[,;]?\s+(?:not|non|no es|because|since"
    r"|which|where|so that|as|when|but|and (?:not|therefore|so|that|this|the)|for (?:all|any"
    r"|some|the)|I hope)\b|,\s+(?:so|with|the|this|that|and\s+(?:not|the)|as|rounded|not)\b|，"
)
_PROSE = re.compile(r"[A-Za-zÀ-ÿ]{2,}")


def extract(text: str, thought: bool = False, cut: bool = False) -> str | None:
    """The final answer as the model wrote it, or None. Never raises; looks at the last 100,000 characters at most.

    `thought`: whether the prompt ended within a thought (see `envs.thoughts`); without its end there is no answer.
    `cut`: whether the text ends because of its length; only what is marked to its end as the answer counts.
    """
    text = _visible(text, thought)
    if cut:
        text = marked_to_its_end(text)
    if not text.strip():
        return None
    tags = _ANSWER_TAG.findall(text)
    if tags and tags[-1].strip():
        text = tags[-1]
    answer = _boxes(text)
    text = _EMPTY_BOX.sub(" ", text)
    if answer is None and _MARKERS.search(text) is None and _is_whole(text):
        answer = text
    for rule in (
        _after_marker,
        _after_hashes,
        _bold,
        _choice_letter,
        _conclusion,
        _last_formula,
        _last_number,
        _few_words,
    ):
        if answer is not None:
            break
        answer = rule(text)
    return tidy(answer) if answer is not None else None


def extract_gold(text: str) -> str:
    """The answer of a reference that may be a whole solution; the text itself where nothing is found in it."""
    return extract(text) or text


def marked_to_its_end(text: str) -> str:
    """The text up to the end of its last box that closes, `####` line that ends, or sentence that names the answer."""
    ends = [0]
    for match in list(_BOX.finditer(text))[-MAX_BOXES:]:
        if text[match.end() : match.end() + 1] == "{":
            content, end = _content(text[match.end() : match.end() + MAX_CHARS], 0)
            if text[match.end() + end - 1] == "}" and content.strip("$.~ "):
                ends.append(match.end() + end)
    ends += [match.end() for match in _HASHES.finditer(text) if text[match.end() : match.end() + 1] == "\n"]
    for match in list(_MARKERS.finditer(text))[-MAX_MARKERS:]:
        start = match.end() + len(text[match.end() :]) - len(text[match.end() :].lstrip(" \n:*_"))
        formula = _first_formula(text[start:])
        if formula is not None:
            ends.append(start + formula.end)
        stop = _STOPS.search(text, match.end() + 1)
        if stop is not None and text[match.end() : stop.start()].strip(" *_:$\n"):
            ends.append(stop.end())
    return text[: max(ends)]


def _visible(text: str, thought: bool) -> str:
    """Without thinking blocks, what follows the end of the turn, and step tags."""
    text = _SPACES.sub(lambda m: "\n\n" if "\n" in m.group() else "  ", text[-TAIL:])
    text = without_thoughts(text, thought)
    text = text.lstrip()
    leading = _LEADING.match(text)
    text = text[leading.end() :] if leading else text
    end = _END.search(text)
    if end:
        text = text[: end.start()]
    return _STEP_TAGS.sub(" ", text)


# -- boxes -------------------------------------------------------------------------------------------------------------


def _boxes(text: str) -> str | None:
    """The last box that is not empty (the innermost of nested ones), with those before it that only "and", "or" and
    commas separate from it."""
    starts = list(_BOX.finditer(text))[-MAX_BOXES:]
    parts: list[str] = []
    alternatives = True
    start = len(text)
    for match in reversed(starts):
        content, end = _content(text[match.end() : match.end() + MAX_CHARS], 0)
        end += match.end()
        content = content.strip()
        if not parts:
            if not content.strip("$.~ "):
                continue
            final = list(_FINAL.finditer(text, end))
            later = _announced(text[final[-1].end() : final[-1].end() + 2000]) if final else None
            if later is None:
                later = _answer_line(text[end:])
            if later is not None:
                return later  # "the final answer is ..." after the last box
        else:
            between = text[end:start] if end <= start else "x"
            if not _JOINT.fullmatch(between) or not re.search(r"and|or|,|[或和与及、，]", between):
                break
            alternatives = alternatives and re.search(r"\bor\b|或", between) is not None
        if content not in parts:
            parts.insert(0, content)
        start = match.start()
    return (" \\text{ or } " if alternatives else ", ").join(parts) or None


def _answer_line(text: str) -> str | None:
    """What a line `**Answer: D**` after the last box says, where it is a letter or a formula."""
    lines = list(_ANSWER_LINE.finditer(text))
    answer = _announced(text[lines[-1].end() :].partition("\n\n")[0][:SHORT]) if lines else None
    if answer is None or letter(answer) is not None:
        return answer
    node = read(clean(answer))
    return None if isinstance(node, (str, Words)) else answer


def _content(text: str, at: int) -> tuple[str, int]:
    """(content, end) of a box whose brace, or unbraced content, begins at `at`."""
    if at >= len(text):
        return "", at
    if text[at] != "{":
        match = re.compile(r"\\frac\{[^{}]*\}\{[^{}]*\}|\\[a-zA-Z]+(?:\{[^{}]*\})*|[^\s$\\.,;]+(?:[.,]\d+)*").match(
            text, at
        )
        return (match.group(), match.end()) if match else ("", at)
    depth, index = 0, at
    while index < len(text):
        char = text[index]
        if char == "\\":
            index += 2
            continue
        depth += (char == "{") - (char == "}")
        if depth == 0:
            return text[at + 1 : index], index + 1
        index += 1
    rest = re.split(r"\$|\n|\\\]|\\\)", text[at + 1 :], maxsplit=1)[0]  # never closed
    return rest.strip().removesuffix("."), at + 1 + len(rest)


# -- words that announce an answer -------------------------------------------------------------------------------------


def _after_marker(text: str) -> str | None:
    """What follows the last "answer is", "Answer:", "答案是" and their like."""
    matches = list(_MARKERS.finditer(text))
    headings = list(_HEADING.finditer(text))
    for match in reversed(sorted(matches + headings, key=lambda m: m.end())[-MAX_MARKERS:]):
        answer = _announced(text[match.end() : match.end() + 2000])
        if answer is not None:
            return answer
    return None


def _announced(rest: str) -> str | None:
    rest = rest.lstrip(" \n\t:*_#：=")
    formula = _first_formula(rest)
    if formula is not None:
        return _joined_formulas(rest, formula)
    stop = _STOPS.search(rest, 1) if rest else None
    segment = rest[: stop.start()] if stop else rest
    segment = segment.strip().strip("*").strip()
    if not segment:
        return None
    choice = re.match(r"\(?([A-J])\)?(?=[\s.,:)]|$)", segment)
    if choice and (len(segment) < 4 or letter(segment) is not None or letter_and_more(segment) is not None):
        return choice.group(1)
    if _is_whole(segment):
        return segment
    tail = re.split(r"\b(?:is|are|be|equals|est|es)\b|=", segment)[-1].strip()
    if tail and tail != segment and _is_whole(tail):
        return tail
    return _last_formula(segment) or _last_number(segment) or _few_words(segment)


def _joined_formulas(text: str, first: Formula) -> str:
    """`$2$, $3$ and $5$` as one list, where the first formula is known."""
    contents, at = [first.content], first.end
    while len(contents) < MAX_BOXES and (joint := _BETWEEN_FORMULAS.match(text, at)) is not None:
        following = _first_formula(text[joint.end() :])
        if following is None:
            break
        contents.append(following.content)
        at = joint.end() + following.end
    return ", ".join(contents)


def _after_hashes(text: str) -> str | None:
    found = _HASHES.findall(text)
    if not found:
        return None
    line = found[-1].strip()
    return line if _is_whole(line) else _last_formula(line) or _last_number(line) or _few_words(line)


def _bold(text: str) -> str | None:
    """The last bold text that is an answer and no heading."""
    for match in reversed(list(_BOLD.finditer(text))):
        content = match.group(1).strip().strip("$").strip()
        if match.group(2) is None and not content.endswith((":", "：")) and re.search(r"\d|\\", content):
            if _is_whole(content) or re.fullmatch(
                r"[-$€£¥]?\s?[\d.,/]+\s?[^\s\d]{0,12}(?:\s[^\s\d]{1,12})?\.?", content
            ):
                return content
    return None


def _choice_letter(text: str) -> str | None:
    if formulas(text) and not re.search(r"\([A-E]\)", text):
        return None
    found = _CHOICE.findall(text)
    if found and found[-1].isupper():
        return str(found[-1])
    return None


# -- formulas and numbers ----------------------------------------------------------------------------------------------


class Formula(NamedTuple):
    """What stands between math delimiters, and where they begin and end."""

    content: str
    start: int
    end: int


def formulas(text: str) -> list[Formula]:
    """Every $...$, $$...$$, \\(...\\) and \\[...\\] of at most 2,000 characters, in order."""
    found: list[Formula] = []
    marks = [m for m in _DELIMITER.finditer(text) if m.group() in _CLOSING or m.group() in ("\\]", "\\)")]
    at = 0
    while at < len(marks) - 1:
        opening, after = marks[at], marks[at + 1]
        content = text[opening.end() : after.start()]
        closes = after.group() == _CLOSING.get(opening.group()) and 0 < len(content) <= 2000
        if closes and opening.group() == "$" and ("\n" in content or text[after.end() : after.end() + 1].isdigit()):
            closes = False  # two amounts of money, or two paragraphs
        if closes:
            found.append(Formula(content.strip(), opening.start(), after.end()))
        at += 2 if closes else 1
    return found


def _first_formula(text: str) -> Formula | None:
    """The formula at the very beginning, if there is one."""
    found = formulas(text[:2100]) if text[:1] in ("$", "\\") else []
    return found[0] if found and found[0].start == 0 else None


def _last_formula(text: str) -> str | None:
    """The last formula that says more than a name; a name, when no number follows it, serves as well."""
    text = text[-FORMULA_TAIL:]
    name: str | None = None
    for content, _, end in reversed(formulas(text)[-MAX_BOXES:]):
        node = read(clean(content))
        if isinstance(node, str):
            if not _PROSE.search(re.sub(r"\\[a-zA-Z]+\s*(?:\{[^{}]*\})?", "", content)):
                return content
            continue
        if isinstance(node, (Sym, Named)):
            name = name or content
            after = text[end:]
            number = _last_number(after)
            if number is not None and re.search(r"\b(?:is|are|equals|be|=)\b", after):
                return number
            continue
        return content
    if name is not None and _last_number(text) is None:
        return name
    return None


def _last_number(text: str) -> str | None:
    """The last number that is no part of a name, a power, a date or an ordinal; `in 3 days` is the last choice."""
    spare: re.Match[str] | None = None
    for match in reversed(list(_NUMBER.finditer(text))):
        letters = _ORDINAL.match(text, match.end())
        if letters is not None and not is_unit_symbol(letters.group()) and not is_unit(letters.group()):
            continue
        if spare is not None and _SENTENCE.search(text, match.end(), spare.start()):
            break
        before = text[max(0, match.start() - 20) : match.start()]
        if not _TIME.match(text, match.end()) or not _BEFORE_TIME.search(before):
            return match.group().strip()
        spare = spare or match
    return spare.group().strip() if spare is not None else None


def _conclusion(text: str) -> str | None:
    """The last sentence that draws a conclusion, where nothing but itself follows."""
    matches = list(_CONCLUSION.finditer(text))
    if not matches:
        return None
    rest = text[matches[-1].end() :].strip()
    if len(rest) > 400 or "\n" in rest or re.search(r"[.!?。]\s+\S", rest):
        return None
    return _last_formula(rest) or _last_number(rest)


def _few_words(text: str) -> str | None:
    """A text of at most four words is an answer in words."""
    text = text.strip().strip("*").strip()
    return text if text and len(text) < 60 and len(text.split()) <= 4 else None


def _is_whole(text: str) -> bool:
    """Whether a text is one answer without prose around it."""
    text = text.strip()
    if not text or len(text) > SHORT or text.count("\n") > 4:
        return False
    if "$" in text.strip("$") and _PROSE.search(_outside_formulas(text)):
        return False
    node = read(clean(text))
    if isinstance(node, str):
        return False
    return not _has_prose(text, node)


def _outside_formulas(text: str) -> str:
    outside, at = [], 0
    for formula in formulas(text):
        outside.append(text[at : formula.start])
        at = formula.end
    return " ".join([*outside, text[at:]])


def _has_prose(text: str, node: Node) -> bool:
    """More than a unit's worth of plain words."""
    plain = re.sub(r"\\(?:text|mathrm|textbf|mbox)\s*\{[^{}]*\}|\\[a-zA-Z]+", " ", text)
    words = [
        word
        for word in _PROSE.findall(plain)
        if word not in ("sqrt", "pi", "sin", "cos", "tan", "log", "ln", "and", "or")
    ]
    if isinstance(node, Words):
        return len(words) > 4
    if isinstance(node, Relation) and any(isinstance(side, Words) for side in node.sides):
        return len(words) > 2
    return len(words) > 3 or (
        bool(words) and not plain.strip()[:1].isdigit() and plain.strip()[:1] not in "-(+[$.\\" and ":" in plain
    )


def tidy(answer: str) -> str | None:
    """Without math delimiters, bold marks and a final stop around it; None when nothing is left."""
    previous = None
    answer = answer.strip()
    while previous != answer:
        previous = answer
        answer = answer.strip().strip("*").strip()
        for opening, closing in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
            if answer.startswith(opening) and answer.endswith(closing) and len(answer) >= len(opening) + len(closing):
                inner = answer[len(opening) : -len(closing)]
                if opening not in inner:
                    answer = inner.strip()
        if answer.endswith((".", ",", ";", ":", "。")) and not answer.endswith(("..", "\\,", "\\;", "\\:")):
            answer = answer[:-1].strip()
    return answer or None
