"""Values with units, percent and degree signs, currencies; times, ratios and numbers with a base."""

from __future__ import annotations

import re
from fractions import Fraction

from envs.grading.equal.exact import Undefined, exact
from envs.grading.equal.policy import Policy
from envs.grading.read.nodes import Based, Call, Colon, Node, Num, Quantity, Sym, mentions, number, symbols
from envs.grading.read.units import dimension, is_unit_symbol

_MULTIPLIERS = {"dozen": 12, "hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PARTS = {2: "half halves", 3: "third thirds", 4: "fourth fourths", 5: "fifth fifths", 6: "sixth sixths",
          7: "seventh sevenths", 8: "eighth eighths", 9: "ninth ninths", 10: "tenth tenths",
          100: "hundredth hundredths", 1000: "thousandth thousandths"}  # fmt: skip
_SCALES = {word: Fraction(factor) for word, factor in _MULTIPLIERS.items()} | {
    word: Fraction(1, bottom) for bottom, words in _PARTS.items() for word in words.split()
}
_POWERS = {"squared": 2, "cubed": 3}
_TEMPERATURE = re.compile(r"(?:degrees? )?([CFK])(?:elsius|ahrenheit|elvin)?\b", re.IGNORECASE)
_CHANGING = re.compile(  # words that make another number of the one before them, or none
    r"\b(?:not|wrong|incorrect|at (?:least|most)|or (?:more|less|fewer|greater|higher|lower|above|below|over|under)"
    r"|and (?:above|below|up|over|under)|below zero|factorial|minus|remainder|percent (?:less|more|off))\b",
    re.IGNORECASE,
)
_SIGNS = {"percent", "degree"}
_IGNORED = {"am", "pm"}


def hoist(node: Node) -> Node:
    """Units to the outside: -(3 cm) is (-3) cm, 1 + 2 cm is 3 cm; percent and degrees stay where sums mix them."""
    if isinstance(node, Quantity):
        inner = hoist(node.value)
        first, _, rest = node.unit.partition(" ")
        if first in _POWERS and not isinstance(inner, Quantity):  # 5 squared
            inner = Call("^", (inner, number(_POWERS[first])))
            return hoist(Quantity(inner, rest)) if rest else inner
        factor, unit = scale(node.unit)
        if isinstance(inner, Quantity):
            return Quantity(_times(factor, inner.value), f"{inner.unit} {unit}".strip())
        return Quantity(_times(factor, inner), kind(unit)) if unit or factor == 1 else _times(factor, inner)
    if not isinstance(node, Call) or node.name not in ("neg", "+", "*", "/", "pm"):
        return node
    args = [hoist(arg) for arg in node.args]
    units = [arg.unit for arg in args if isinstance(arg, Quantity)]
    if not units:
        return node
    if node.name == "neg":
        inner = args[0]
        assert isinstance(inner, Quantity)
        return Quantity(Call("neg", (inner.value,)), inner.unit)
    if node.name in ("+", "pm"):
        last = args[-1]
        if len(set(units)) == 1 and isinstance(last, Quantity) and (len(units) == len(args) or last.unit not in _SIGNS):
            return Quantity(Call(node.name, tuple(a.value if isinstance(a, Quantity) else a for a in args)), last.unit)
        return node
    if len(units) == 1 and units[0] not in _SIGNS and (node.name == "*" or isinstance(args[0], Quantity)):
        return Quantity(Call(node.name, tuple(a.value if isinstance(a, Quantity) else a for a in args)), units[0])
    return node


def scale(unit: str) -> tuple[Fraction, str]:
    """(10^6, `dollars`) of `million dollars`, (1/10, ``) of `tenths`."""
    word, _, rest = unit.strip().partition(" ")
    factor = _SCALES.get(word.lower().strip(",."))
    return (Fraction(1), unit) if factor is None else (factor, rest.strip().removeprefix("of "))


def kind(unit: str) -> str:
    """`percent` and `degree` by whatever name; other units as written."""
    found = dimension(unit)
    if found is not None and found[1] in ((("percent", 1),), (("degree", 1),)):
        return found[1][0][0]
    text = unit.lower().replace(".", "").replace(" ", "")
    return text if text in _IGNORED else unit


def readings(gold: Quantity | Node, answer: Quantity | Node, policy: Policy) -> list[tuple[Node, Node]]:
    """Pairs of unitless values of which one must be equal; an empty list where the units themselves differ."""
    left, left_unit = (gold.value, gold.unit) if isinstance(gold, Quantity) else (gold, "")
    right, right_unit = (answer.value, answer.unit) if isinstance(answer, Quantity) else (answer, "")
    if left_unit and right_unit:
        return _both(left, left_unit, right, right_unit)
    unit = left_unit or right_unit
    if _CHANGING.search(unit):
        return []
    pairs = [(left, right)] if policy.drop_units or unit in _SIGNS else []
    if unit == "percent" and policy.percent_as_fraction:
        pairs.append((_hundredth(left), right) if left_unit else (left, _hundredth(right)))
    if unit == "degree" and mentions(left if right_unit else right, "pi"):
        pairs.append((gold, answer))  # the value of an angle in degrees is in radians
    return pairs


def _both(left: Node, left_unit: str, right: Node, right_unit: str) -> list[tuple[Node, Node]]:
    if left_unit == right_unit:
        return [(left, right)]
    if _CHANGING.search(left_unit) or _CHANGING.search(right_unit):
        return []
    scales = [_TEMPERATURE.match(unit) for unit in (left_unit, right_unit)]
    if all(scales):
        return [(left, right)] if len({scale.group(1).lower() for scale in scales if scale}) == 1 else []
    if (
        left_unit in _IGNORED
        or right_unit in _IGNORED
        or (left_unit.startswith("mod ") and right_unit.startswith("mod "))
    ):
        return []
    first, second = dimension(left_unit), dimension(right_unit)
    if first is None or second is None:
        return [(left, right)]  # other words: `5 apples`, `5 of them`
    if first[1] != second[1]:
        return []
    return [(_times(first[0], left), _times(second[0], right))]


def _times(factor: Fraction, node: Node) -> Node:
    return node if factor == 1 else Call("*", (number(factor), node))


def _hundredth(node: Node) -> Node:
    return Call("/", (node, number(100)))


def equal_based(gold: Node, answer: Node, policy: Policy) -> bool:
    """Numbers of which at least one has a base. The base is part of the value."""
    if isinstance(gold, Based) and isinstance(answer, Based):
        if gold.base == answer.base:
            return gold == answer
        return policy.base_ten and exact(gold) == exact(answer)
    based, other = (gold, answer) if isinstance(gold, Based) else (answer, gold)
    assert isinstance(based, Based)
    if policy.base_may_be_left_out and isinstance(gold, Based) and isinstance(other, (Num, Call)):
        sign, inner = (True, other.args[0]) if isinstance(other, Call) and other.name == "neg" else (False, other)
        if isinstance(inner, Num) and sign == based.negative and str(inner.value) == based.digits:
            return True
    try:
        return policy.base_ten and not symbols(other) and exact(other) == exact(based)
    except Undefined:
        return False


def equal_colons(gold: Node, answer: Node) -> bool | None:
    """Times part by part; other ratios also when proportional, or as a fraction. None: compare the parts as trees."""
    if isinstance(gold, Colon) and isinstance(answer, Colon):
        if len(gold.parts) != len(answer.parts):
            return False
        left, right = [_value(p) for p in gold.parts], [_value(p) for p in answer.parts]
        if None in left or None in right:
            return None
        if is_time(gold) or is_time(answer) or not all(right):
            return left == right
        return len({a / b for a, b in zip(left, right, strict=True)}) == 1  # type: ignore[operator]
    colon, other = (gold, answer) if isinstance(gold, Colon) else (answer, gold)
    assert isinstance(colon, Colon)
    if is_time(colon) or len(colon.parts) != 2:
        return False
    try:
        quotient = exact(Call("/", colon.parts))
        return quotient is not None and quotient == exact(other)
    except Undefined:
        return False


def is_time(colon: Colon) -> bool:
    """Whether the digits are those of a clock: 0 to 24 hours, then two digits below 60."""
    return (
        len(colon.digits) > 1
        and int(colon.digits[0]) <= 24
        and all(len(d) == 2 and int(d) < 60 for d in colon.digits[1:])
    )


def _value(node: Node) -> Fraction | None:
    try:
        return exact(node)
    except Undefined:
        return None


def plain_unit(node: Node) -> tuple[Node, str] | None:
    """`3s`, `15 m^2`: a number times letters that are a unit, as (number, unit); None for anything else."""
    letters: list[str] = []
    while isinstance(node, Call) and node.name in ("*", "/", "^"):
        left, right = node.args
        if node.name == "^" and isinstance(left, Call) and left.name == "*" and isinstance(right, Num):
            return None
        if isinstance(right, Sym):
            letters.insert(0, ("/" if node.name == "/" else "") + right.name)
            node = left
        elif (
            isinstance(right, Call)
            and right.name == "^"
            and isinstance(right.args[0], Sym)
            and isinstance(right.args[1], Num)
        ):
            letters.insert(0, f"{right.args[0].name}^{right.args[1].value}")
            node = left
        elif node.name == "/" and isinstance(left, Quantity) and isinstance(right, Sym):
            letters.insert(0, "/" + right.name)
            node = left
        else:
            break
    text = "".join(letters)
    base = text.partition("^")[0].partition("/")[0]
    if letters and is_unit_symbol(base):
        return node, text
    return None
