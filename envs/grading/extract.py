"""The final answer of a solution's text.

In this order: the last box (boxes joined by "and", "or" or commas are one list), what follows the last "answer is" or
its like, `####`, bold type, the last formula, the last number. A short text that is an answer as a whole is returned
as it is. None means that there is no answer: it never votes and is never right.
"""

from __future__ import annotations

import re

from envs.grading.clean import clean
from envs.grading.guard import TooCostly
from envs.grading.nodes import Call, Node, Relation, Sym, Words
from envs.grading.parse import parse_clean
from envs.grading.tokens import ParseError
from envs.grading.units import is_unit, is_unit_symbol
from envs.grading.words import letter, letter_and_more

TAIL = 100_000  # characters of the text's end that are looked at
SHORT = 300  # characters of a text that may be an answer as a whole

_THINKING = re.compile(r"<(think|thinking|thought|reasoning|scratchpad|reflection)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_THINKING_END = re.compile(r"</(?:think|thinking|thought|reasoning|scratchpad|reflection)>|<\|end_of_thought\|>|◁/think▷", re.IGNORECASE)
_THINKING_START = re.compile(r"<(?:think|thinking|thought|reasoning|scratchpad|reflection)>|<\|begin_of_thought\|>|◁think▷", re.IGNORECASE)
_ANSWER_TAG = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.DOTALL | re.IGNORECASE)
_LEADING = re.compile(r"\s*(?:<\|im_start\|>\s*assistant|<\|begin_of_solution\|>|<s>|<bos>|<\|assistant\|>)\s*")
_END = re.compile(r"<\|im_end\|>|<\|im_start\|>|<\|endoftext\|>|</s>|<eos>|<\|eot_id\|>|<\|end\|>|<end_of_turn>|<｜end▁of▁sentence｜>|<\|end_of_solution\|>|\[EOS\]|<pad>")
_STEP_TAGS = re.compile(r"\s?ки\b|<\|?step\|?>|<extra_0>|<\|reserved_special_token_\d+\|>")

_BOX = re.compile(r"\\(?:boxed|fbox|framebox|bbox)(?![a-zA-Z])\s*(?:\[[^\]]{0,20}\]\s*)?")
_JOINT = re.compile(
    r"(?:[\s,;&$~]|\\[()\[\],;:! ]|\\(?:quad|qquad|text|textrm|mathrm|mbox|left|right)(?![a-zA-Z])"
    r"|\\(?:text|textrm|mathrm|mbox)\s*\{\s*(?:and|or|,|;|\\?&)?\s*\}|\{|\}|\b(?:and|or)\b|[或和与及、，])*"
)
_MARKERS = re.compile(
    r"(?:(?:final|correct|right|our|my|required|desired|resulting)\s+)?(?:answer|solution|result)s?"
    r"(?:\s+(?:to|of|for)\s+[^.\n:$]{0,80}?)?[*_\s]*(?:(?:\s+(?:is|are|was|will be|must be|should be|would be|equals|becomes|=))|[:：=])"
    r"|(?:la\s+)?r[ée]ponse(?:\s+finale)?\s*(?:est|:)|(?:la\s+)?respuesta(?:\s+final)?\s*(?:es|:)|antwort\s*(?:ist|:|lautet)|ответ\s*:?"
    r"|(?:最终|最后|正确)?(?:的)?(?:答案|结果)\s*(?:是|为|[:：=])|故选|应选|因此选|所以选",
    re.IGNORECASE,
)  # fmt: skip
_FINAL = re.compile(r"final answer\s*(?:is|:)", re.IGNORECASE)
_CHOICE = re.compile(r"(?:option|choice|choose|pick|select|选项?)\s*(?:is\s*)?[:：]?\s*\(?\b([A-J])\b\)?", re.IGNORECASE)
_HEADING = re.compile(r"\*\*\s*(?:final\s+)?answer\s*:?\s*\*\*\s*:?", re.IGNORECASE)
_HASHES = re.compile(r"####\s*(.+)")
_BOLD = re.compile(r"\*\*([^*\n]{1,80})\*\*(\s*[:：])?")
_FORMULA = re.compile(r"\$\$(.+?)\$\$|(?<!\\)\$([^$\n]+?)(?<!\\)\$(?!\d)|\\\[(.+?)\\\]|\\\((.+?)\\\)", re.DOTALL)
_NUMBER = re.compile(
    r"(?<![A-Za-z0-9_.,\\^/])(?:-\s?(?<![\d)\]}]\s-\s)(?<![\d)\]}]-)(?<![\d)\]}]\s-))?(?:\\?[$€£¥]\s?)?"
    r"(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:[.,]\d+)?|\.\d+)(?:\s?/\s?\d+(?:\.\d+)?(?!/))?(?:\s?\\?%)?(?![\d^_])"
)
_ORDINAL = re.compile(r"[A-Za-z]+")
_CONCLUSION = re.compile(
    r"(?:^|(?<=[.!?\n])\s*)(?:therefore|thus|hence|so|finally|in conclusion|in total|consequently|donc|ainsi|因此|所以|综上(?:所述)?|故)\b[,，:]?\s*"
    r"(?P<rest>[^\n]*?)\s*$",
    re.IGNORECASE,
)
_STOPS = re.compile(
    r"(?<=[^\s.])\.(?=\s|$|[*\"')\]])(?!\s*\d)|\n|。|；|[,;]?\s+(?:not|non|no es|because|since|which|where|so that|as|when|but|and (?:not|therefore|so|that|this|the)|for (?:all|any|some|the)|I hope)\b|,\s+(?:so|with|the|this|that|and\s+(?:not|the)|as|rounded|not)\b|，"
)
_PROSE = re.compile(r"[A-Za-zÀ-ÿ]{2,}")


def extract(text: str) -> str | None:
    """The final answer as the model wrote it, or None. Never raises; looks at the last 100,000 characters at most."""
    text = _visible(text)
    if not text.strip():
        return None
    tags = _ANSWER_TAG.findall(text)
    if tags and tags[-1].strip():
        text = tags[-1]
    answer = _boxes(text)
    if answer is None and _MARKERS.search(text) is None and _is_whole(text):
        answer = text
    for rule in (_after_marker, _after_hashes, _bold, _choice_letter, _conclusion, _last_formula, _last_number, _few_words):
        if answer is not None:
            break
        answer = rule(text)
    return tidy(answer) if answer is not None else None


def extract_gold(text: str) -> str:
    """The answer of a reference that may be a whole solution; the text itself where nothing is found in it."""
    return extract(text) or text


def _visible(text: str) -> str:
    """Without thinking blocks, what follows the end of the turn, and step tags."""
    text = text[-TAIL:]
    ends = list(_THINKING_END.finditer(text))
    if ends:
        text = text[ends[-1].end() :]
    else:
        start = _THINKING_START.search(text)
        if start:
            text = text[: start.start()]
    text = _LEADING.sub("", text, count=1)
    end = _END.search(text)
    if end:
        text = text[: end.start()]
    return _STEP_TAGS.sub(" ", text)


# -- boxes -------------------------------------------------------------------------------------------------------------


def _boxes(text: str) -> str | None:
    """The last box that is not empty, with those before it that only "and", "or" and commas separate from it."""
    found: list[tuple[int, int, str]] = []
    at = 0
    while (match := _BOX.search(text, at)) is not None:
        content, end = _content(text, match.end())
        inner = _boxes(content) if _BOX.search(content) else None
        content = inner if inner is not None else content
        if content.strip().strip("$.~ "):
            found.append((match.start(), end, content.strip()))
        at = max(end, match.end())
    if not found:
        return None
    start, _, last = found[-1]
    tail = list(_FINAL.finditer(text, found[-1][1]))
    if tail and (later := _announced(text[tail[-1].end() : tail[-1].end() + 2000])) is not None:
        return later  # "the final answer is ..." after the last box
    parts = [last]
    for first, end, content in reversed(found[:-1]):
        between = text[end:start]
        if not _JOINT.fullmatch(between) or not re.search(r"and|or|,|[或和与及、，]", between):
            break
        if content not in parts:
            parts.insert(0, content)
        start = first
    return ", ".join(parts)


def _content(text: str, at: int) -> tuple[str, int]:
    """(content, end) of a box whose brace, or unbraced content, begins at `at`."""
    if at >= len(text):
        return "", at
    if text[at] != "{":
        match = re.compile(r"\\frac\{[^{}]*\}\{[^{}]*\}|\\[a-zA-Z]+(?:\{[^{}]*\})*|[^\s$\\.,;]+(?:[.,]\d+)*").match(text, at)
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
    for match in reversed(sorted(matches + headings, key=lambda m: m.end())):
        answer = _announced(text[match.end() : match.end() + 2000])
        if answer is not None:
            return answer
    return None


def _announced(rest: str) -> str | None:
    rest = rest.lstrip(" \n\t:*_#：=")
    formula = _FORMULA.match(rest)
    if formula is not None:
        following = _FORMULA.match(rest[formula.end() :].lstrip(" ,")) if rest[formula.end() :].lstrip()[:1] == "," else None
        first = _inside(formula)
        return f"{first}, {_inside(following)}" if following is not None else first
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
            if _is_whole(content) or re.fullmatch(r"[-$€£¥]?\s?[\d.,/]+\s?[^\s\d]{0,12}(?:\s[^\s\d]{1,12})?\.?", content):
                return content
    return None


def _choice_letter(text: str) -> str | None:
    if _FORMULA.search(text) and not re.search(r"\([A-E]\)", text):
        return None
    found = _CHOICE.findall(text)
    if found and found[-1].isupper():
        return str(found[-1])
    return None


# -- formulas and numbers ----------------------------------------------------------------------------------------------


def _inside(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group is not None).strip()


def _last_formula(text: str) -> str | None:
    """The last formula that says more than a name; a name, when no number follows it, serves as well."""
    name: str | None = None
    for match in reversed(list(_FORMULA.finditer(text))):
        content = _inside(match)
        node = _tree(content)
        if isinstance(node, str):
            if not _PROSE.search(re.sub(r"\\[a-zA-Z]+\s*(?:\{[^{}]*\})?", "", content)):
                return content
            continue
        if isinstance(node, Sym) or (isinstance(node, Call) and ":" in node.name):
            name = name or content
            after = text[match.end() :]
            number = _last_number(after)
            if number is not None and re.search(r"\b(?:is|are|equals|be|=)\b", after):
                return number
            continue
        return content
    if name is not None and _last_number(text) is None:
        return name
    return None


def _last_number(text: str) -> str | None:
    """The last number that is no part of a name, a power, a date or an ordinal."""
    for match in reversed(list(_NUMBER.finditer(text))):
        letters = _ORDINAL.match(text, match.end())
        if letters is None or is_unit_symbol(letters.group()) or is_unit(letters.group()):
            return match.group().strip()
    return None


def _conclusion(text: str) -> str | None:
    """The last sentence, where it draws a conclusion."""
    text = text.rstrip()
    sentences = re.split(r"(?<=[.!?。！？])\s+(?=\S)|\n+", text)
    match = _CONCLUSION.match(sentences[-1]) if sentences else None
    if match is None:
        return None
    rest = match.group("rest")
    return _last_formula(rest) or _last_number(rest)


def _few_words(text: str) -> str | None:
    """A text of at most four words is an answer in words."""
    text = text.strip().strip("*").strip()
    return text if text and len(text) < 60 and len(text.split()) <= 4 else None


def _tree(text: str) -> Node | str:
    try:
        return parse_clean(clean(text))
    except (ParseError, TooCostly) as error:
        return str(error)


def _is_whole(text: str) -> bool:
    """Whether a text is one answer without prose around it."""
    text = text.strip()
    if not text or len(text) > SHORT or text.count("\n") > 4:
        return False
    if "$" in text.strip("$") and _FORMULA.search(text) and _outside_formulas(text):
        return False
    node = _tree(text)
    if isinstance(node, str):
        return False
    return not _has_prose(text, node)


def _outside_formulas(text: str) -> bool:
    return bool(_PROSE.search(_FORMULA.sub(" ", text)))


def _has_prose(text: str, node: Node) -> bool:
    """More than a unit's worth of plain words."""
    plain = re.sub(r"\\(?:text|mathrm|textbf|mbox)\s*\{[^{}]*\}|\\[a-zA-Z]+", " ", text)
    words = [word for word in _PROSE.findall(plain) if word not in ("sqrt", "pi", "sin", "cos", "tan", "log", "ln", "and", "or")]
    if isinstance(node, Words):
        return len(words) > 4
    if isinstance(node, Relation) and any(isinstance(side, Words) for side in node.sides):
        return len(words) > 2
    return len(words) > 3 or bool(words) and not plain.strip()[:1].isdigit() and plain.strip()[:1] not in "-(+[$.\\" and ":" in plain


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
