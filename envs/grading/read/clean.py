"""One spelling for one thing: Unicode, spacing, fonts and LaTeX synonyms are removed before an answer is read."""

from __future__ import annotations

import re
import unicodedata

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho "
    "sigma tau upsilon phi chi psi omega"
).split()
_CHARACTERS: dict[str, str] = {
    "−": "-", "–": "-", "—": "-", "‒": "-", "‐": "-", "‑": "-", "﹣": "-", "×": r"\cdot ", "·": r"\cdot ",
    "⋅": r"\cdot ", "∙": r"\cdot ", "•": r"\cdot ", "∗": "*", "⁎": "*", "÷": "/", "∕": "/", "⁄": "/", "≤": r"\le ",
    "≦": r"\le ", "⩽": r"\le ", "≥": r"\ge ", "≧": r"\ge ", "⩾": r"\ge ", "≠": r"\ne ", "≈": r"\approx ",
    "≃": r"\approx ", "≅": r"\approx ", "≡": r"\equiv ", "∈": r"\in ", "∉": r"\notin ", "∪": r"\cup ",
    "∩": r"\cap ", "∅": r"\emptyset ", "⌀": r"\emptyset ", "ø": r"\emptyset ", "Ø": r"\emptyset ", "∖": r"\setminus ",
    "±": r"\pm ", "∓": r"\mp ", "∞": r"\infty ", "√": r"\sqrt ", "∛": r"\sqrt[3]", "∜": r"\sqrt[4]",
    "°": r"\degree ", "º": r"\degree ", "˚": r"\degree ", "℃": r"\degree C", "′": "'", "″": "''", "’": "'", "‘": "'",
    "“": '"', "”": '"', "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "ℚ": r"\mathbb{Q}",
    "ℂ": r"\mathbb{C}", "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ", "⟨": r"\langle ",
    "⟩": r"\rangle ", "〈": r"\langle ", "〉": r"\rangle ", "∣": "|", "∥": "|", "∑": r"\sum ", "∏": r"\prod ",
    "∫": r"\int ", "→": r"\to ", "⇒": r"\implies ", "∴": " ", "ℓ": "l", "…": r"\ldots ", "⋯": r"\ldots ", "、": ",",
    "。": ".", "∠": r"\angle ", "△": r"\triangle ", "∆": r"\Delta ", "¬": r"\neg ", "∧": r"\wedge ", "∨": r"\vee ",
    "ℯ": "e", "ⅈ": "i", "⋃": r"\cup ", "⋂": r"\cap ", "∶": ":", "﹪": "%", "％": "%", "€": r"\euro ", "£": r"\pounds ",
    "¥": r"\yen ", "￥": r"\yen ", "¢": r"\text{ cents}", "℅": "%", "\t": " ", "\n": " ", "\r": " ", "，": ",",
    "µ": r"\mu ", "ϕ": r"\phi ", "ϑ": r"\theta ", "ϵ": r"\epsilon ", "或": r"\text{ or }", "和": r"\text{ and }",
    "且": r"\text{ and }",
}  # fmt: skip
for _index, _name in enumerate(_GREEK):
    _low = 0x3B1 + _index + (1 if _index >= 17 else 0)  # the final sigma has a place of its own
    _CHARACTERS[chr(_low)] = f"\\{_name} "
    _CHARACTERS[chr(_low).upper()] = f"\\{_name.capitalize()} "
for _fraction, _text in {
    "½": "12", "⅓": "13", "⅔": "23", "¼": "14", "¾": "34", "⅕": "15", "⅖": "25", "⅗": "35", "⅘": "45", "⅙": "16",
    "⅚": "56", "⅐": "17", "⅛": "18", "⅜": "38", "⅝": "58", "⅞": "78", "⅑": "19",
}.items():  # fmt: skip
    _CHARACTERS[_fraction] = f"\\frac{{{_text[0]}}}{{{_text[1]}}}"
_TABLE = str.maketrans(_CHARACTERS)
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣ", "0123456789+-()nix")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙₓₖₘᵢ", "0123456789+-()nxkmi")
_SUPERSCRIPT_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣ]+")
_SUBSCRIPT_RUN = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙₓₖₘᵢ]+")
_OVERLINED = re.compile("((?:\\d\u0305)+)|((?:\\d\u0304)+)")

SPACE = re.compile(r"\s+")
_COSMETIC = re.compile(
    r"\\(?:left|right)\s*\.|\\(?:left|right|middle|[bB]igg?[lrm]?)(?![a-zA-Z])"
    r"|\\(?:displaystyle|textstyle|scriptstyle|limits|nolimits|nonumber|notag|hfill|centering|strut|mathstrut"
    r"|allowbreak|nobreak|normalsize|small|large|Large|bf|rm|it|tt|sf|sl|em|mathopen|mathclose"
    r"|mathpunct|rlap|llap|smash"
    r"|mathord|mathbin|mathrel|mathop|mathinner|unicode|ensuremath)(?![a-zA-Z])"
    r"|\\(?:hspace|vspace|hskip|vskip|hphantom|vphantom|phantom|label|tag|color|textcolor)\*?\s*\{[^{}]*\}"
    r"|\\[hv]?phantom(?![a-zA-Z])\s*\\?[^\s{}]"
)
_FONTS = re.compile(
    r"\\(?:mathbf|mathit|mathsf|mathtt|mathcal|mathfrak|mathscr|boldsymbol|bm|pmb|textcolor\{[a-z]+\}|boldmath"
    r"|underline|displaylines|mathnormal|cancel|emph)(?![a-zA-Z])"
)
_TEXT_COMMANDS = re.compile(
    r"\\(?:textbf|textit|textrm|textnormal|texttt|textsf|textsc|textup|mbox|hbox|fbox|emph"
    r"|textmd)(?![a-zA-Z])"
)
_FRACTIONS = re.compile(r"\\(?:dfrac|tfrac|cfrac|sfrac|nicefrac|xfrac|ifrac|frac)(?![a-zA-Z])")
_BINOMIALS = re.compile(r"\\(?:dbinom|tbinom)(?![a-zA-Z])")
_SMALL_SPACES = re.compile(
    r"(?<!\\)\\[,;:!> ]|\\(?:thinspace|medspace|thickspace|negthinspace|enspace|space"
    r"|nobreakspace)(?![a-zA-Z])|~"
)
_TEXT_STYLE_OLD = re.compile(r"\{\s*\\(?:rm|bf|it|tt|sf)\s+([^{}]*)\}")

_THOUSANDS = [
    re.compile(r"(?<![\d.])([1-9]\d{0,2})((?:" + separator + r"\s*\d{3})+)(?!\d)")
    for separator in (r"\{,\}", r",\s*\\!", r"\\!\s*,", r"\\[,;:!> ]", "~")
]
_PLAIN_GROUPS = re.compile(r"-?[1-9]\d{0,2}(?: \d{3})+(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])(\d+)\{,\}(\d+)")
_RULES: list[tuple[re.Pattern[str], str]] = [
    (re.compile(r"\{:\}"), ":"),
    (re.compile(r"(?<=[)\]}])\s*[Uu]\s*(?=[(\[{\\])"), r" \\cup "),
    (re.compile(r"\\(quad|qquad)(?=[a-z])"), r"\\\1 "),
    (re.compile(r"\^\s*\{\s*\\circ\s*\}|\^\s*\\circ(?![a-zA-Z])|\^\s*\\degree(?![a-zA-Z])"
        r"|\^\s*\{\s*\\degree\s*\}|\\textdegree(?![a-zA-Z])|\\degrees(?![a-zA-Z])|\^\s*\{\s*o\s*\}"), r"\\degree "),
    (re.compile(r"\\not\s*=|\\neq(?![a-zA-Z])|!=|<>|=/="), r"\\ne "),
    (re.compile(r"\\not\s*\\in(?![a-zA-Z])"), r"\\notin "),
    (re.compile(r"\\(?:leq|leqslant|leqq|le)(?![a-zA-Z])|<=|=<"), r"\\le "),
    (re.compile(r"\\(?:geq|geqslant|geqq|ge)(?![a-zA-Z])|>="), r"\\ge "),
    (re.compile(r"\\lt(?![a-zA-Z])|&lt;"), "<"),
    (re.compile(r"\\gt(?![a-zA-Z])|&gt;"), ">"),
    (re.compile(r"\\(?:lbrace|lcub)(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\(?:rbrace|rcub)(?![a-zA-Z])"), r"\\}"),
    (re.compile(r"\\lbrack(?![a-zA-Z])"), "["),
    (re.compile(r"\\rbrack(?![a-zA-Z])"), "]"),
    (re.compile(r"\\lparen(?![a-zA-Z])"), "("),
    (re.compile(r"\\rparen(?![a-zA-Z])"), ")"),
    (re.compile(r"\\(?:lvert|rvert|vert|mid|lVert|rVert|Vert)(?![a-zA-Z])|\\\|"), "|"),
    (re.compile(r"\\(?:dots|cdots|ldots|dotsc|dotsb|vdots|ddots|hdots)(?![a-zA-Z])|\.\.\.+"), r"\\ldots "),
    (re.compile(r"\\(?:ast|times|cdot|centerdot|bullet|star)(?![a-zA-Z])|(?<![*])\*(?![*])"), r"\\cdot "),
    (re.compile(r"\*\*"), "^"),
    (re.compile(r"\\div(?![a-zA-Z])"), "/"),
    (re.compile(r"\\slash(?![a-zA-Z])"), "/"),
    (re.compile(r"\\(?:varnothing|O|empty|emptyset)(?![a-zA-Z])"), r"\\emptyset "),
    (re.compile(r"\\(?:backslash|smallsetminus|setminus)(?![a-zA-Z])"), r"\\setminus "),
    (re.compile(r"\\(?:rightarrow|longrightarrow|to|mapsto)(?![a-zA-Z])|->"), r"\\to "),
    (re.compile(r"\\(?:Rightarrow|Longrightarrow|implies|Leftrightarrow|iff|Longleftrightarrow)(?![a-zA-Z])"
        r"|=>"), r"\\implies "),
    (re.compile(r"\\(?:approx|thickapprox|simeq|cong|doteq|approxeq)(?![a-zA-Z])|~="), r"\\approx "),
    (re.compile(r"\\operatorname\s*\*?|\\DeclareMathOperator"), r"\\mathrm"),
    (re.compile(r"\\varepsilon(?![a-zA-Z])"), r"\\epsilon "),
    (re.compile(r"\\var(phi|theta|rho|sigma|pi|kappa)(?![a-zA-Z])"), r"\\\1 "),
    (re.compile(r"\\imath(?![a-zA-Z])"), "i"),
    (re.compile(r"\\(?:prime)(?![a-zA-Z])"), "'"),
    (re.compile(r"\^\s*\{\s*('[' ]*)\}|\^\s*(')"), r"\1\2"),
    (re.compile(r"(?<=[0-9A-Za-z)}])\s*_\s*(?:\{\s*)?[(\[]\s*(?:\\text\s*\{)?"
        r"([A-Za-z]+|\d{1,2})\}?\s*[)\]](?:\s*\})?"), r"_{\1}"),
    (re.compile(r"\\colon(?![a-zA-Z])"), ":"),
    (re.compile(r"\\(?:land|wedge)(?![a-zA-Z])"), r"\\text{ and }"),
    (re.compile(r"\\(?:lor|vee)(?![a-zA-Z])"), r"\\text{ or }"),
    (re.compile(r"\\(?:bigcup)(?![a-zA-Z])"), r"\\cup "),
    (re.compile(r"\\(?:bigcap)(?![a-zA-Z])"), r"\\cap "),
    (re.compile(r"\\(?:Reals?|reals|R)(?![a-zA-Z])"), r"\\mathbb{R}"),
    (re.compile(r"\\(?:integers|Z)(?![a-zA-Z])"), r"\\mathbb{Z}"),
    (re.compile(r"\\(?:tg)(?![a-zA-Z])"), r"\\tan "),
    (re.compile(r"\\(?:ctg|cotg)(?![a-zA-Z])"), r"\\cot "),
    (re.compile(r"\\(?:arctg|atan)(?![a-zA-Z])"), r"\\arctan "),
    (re.compile(r"\\(?:cosec)(?![a-zA-Z])"), r"\\csc "),
]  # fmt: skip


_ORDINAL = re.compile(
    r"(?<![A-Za-z\d.,])(\d+)\s*\^?\s*\{?\s*(?:\\(?:text|mathrm|textsuperscript)\s*\{?)?\s*(st|nd|rd|th)(?![A-Za-z])[\s}]*"
)


def _ordinal(match: re.Match[str]) -> str:
    """12^{th} as a number with words; 2^{th} stays, since no ordinal is written so."""
    digits, suffix = match.groups()
    usual = "th" if digits[-2:-1] == "1" else {"1": "st", "2": "nd", "3": "rd"}.get(digits[-1], "th")
    return f"{digits}\\text{{{suffix}}} " if suffix == usual else match.group()


def plain_characters(text: str) -> str:
    """Unicode to ASCII and LaTeX: NFKC, superscripts, fractions, signs; invisible and control characters go."""
    if text.isascii():
        return text.replace("\t", " ").replace("\n", " ").replace("\r", " ") if text.isprintable() is False else text
    text = _OVERLINED.sub(lambda m: "\\overline{" + re.sub("[^0-9]", "", m.group()) + "}", text)
    text = _SUPERSCRIPT_RUN.sub(lambda m: "^{" + m.group().translate(_SUPERSCRIPTS) + "}", text)
    text = _SUBSCRIPT_RUN.sub(lambda m: "_{" + m.group().translate(_SUBSCRIPTS) + "}", text)
    text = unicodedata.normalize("NFKC", text.translate(_TABLE)).translate(_TABLE)
    return "".join(_visible(c) if not c.isascii() or not c.isprintable() else c for c in text)


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if category in ("Cf", "Cc", "Mn", "Cs", "Co", "Cn"):  # zero-width, bidirectional, variation selectors, control
        return " " if char in "\t\n\r" else ""
    if category == "Nd":
        return str(unicodedata.digit(char, 0))
    return " " if category in ("Zs", "Zl", "Zp") else char


def strip_dollars(text: str) -> str:
    """Without one pair of dollars around the whole."""
    text = text.strip()
    return text[1:-1] if len(text) > 2 and text[0] == text[-1] == "$" and "$" not in text[1:-1] else text


def strip_delimiters(text: str) -> str:
    r"""Without math delimiters; an escaped dollar stays, as the currency."""
    text = re.sub(r"\\\\\[[^\[\]]{0,12}\]", r"\\\\ ", text)  # \\[2pt] ends a row
    text = re.sub(r"(?<!\\)\\[()\[\]]", " ", text)
    return re.sub(r"(?<!\\)\$", " ", text)


_BOXED = re.compile(r"\s*\\(?:boxed|fbox)\s*\{(.*)\}\s*\.?\s*", re.DOTALL)


def unboxed(text: str) -> str:
    """The content of a box that is the whole text."""
    while (match := _BOXED.fullmatch(text)) is not None and _balanced(match.group(1)):
        text = match.group(1)
    return text


def _balanced(text: str) -> bool:
    depth = 0
    for char in text.replace("\\{", "").replace("\\}", ""):
        depth += (char == "{") - (char == "}")
        if depth < 0:
            return False
    return depth == 0


def clean(text: str) -> str:
    """The answer in one spelling, ready for the tokenizer."""
    text = unboxed(strip_dollars(plain_characters(text)))
    if "\\\\" in text and "\\begin" not in text:  # doubly escaped LaTeX
        text = re.sub(r"\\\\(?=[a-zA-Z{}])", r"\\", text)
    text = strip_delimiters(text)
    for rule in _THOUSANDS:
        text = rule.sub(lambda m: m.group(1) + re.sub(r"\D", "", m.group(2)), text)
    text = _DECIMAL_COMMA.sub(r"\1.\2", text)
    text = _SMALL_SPACES.sub(" ", text)
    if "\\" in text:
        text = _TEXT_STYLE_OLD.sub(r"\\text{\1}", text)
        text = _COSMETIC.sub(" ", text)
        text = _FONTS.sub("", text)
        text = _TEXT_COMMANDS.sub(r"\\text", text)
        text = _FRACTIONS.sub(r"\\frac", text)
        text = _BINOMIALS.sub(r"\\binom", text)
    for pattern, replacement in _RULES:
        if pattern.search(text):  # `sub` reads its replacement each time, and most rules find nothing
            text = pattern.sub(replacement, text)
    text = _ORDINAL.sub(_ordinal, text)
    text = SPACE.sub(" ", text).strip()
    while (
        text and (text[-1] in ".,;:。" or text.endswith("\\")) and not text.endswith(("\\ldots", "\\{", "\\}", "\\%"))
    ):
        text = text[:-1].rstrip()
    text = re.sub(r"^(?:[=:]|\\implies|\\approx)\s*", "", text)
    if _PLAIN_GROUPS.fullmatch(text):
        text = text.replace(" ", "")
    return text
