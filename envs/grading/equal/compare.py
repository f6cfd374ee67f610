"""Whether two answers are equal, in this process and without a limit of its own; `pool` bounds it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from envs.base_env import Verdict
from envs.grading.equal.algebra import Undecided
from envs.grading.equal.exact import Undefined
from envs.grading.equal.policy import DEFAULT, Policy
from envs.grading.equal.relations import approximate_part
from envs.grading.equal.rules import same
from envs.grading.equal.words import plain
from envs.grading.guard import MAX_CHARS, TooCostly
from envs.grading.read.answer import read
from envs.grading.read.clean import clean
from envs.grading.read.letters import is_marked, letter, letter_and_more
from envs.grading.read.nodes import Call, Named, Node, Num, mentions, number
from envs.grading.read.remarks import qualified, without_remarks

_COMMA_GROUP = re.compile(r"\d,[1-9]\d\d(?!\d)")
_DECIMAL_COMMA = re.compile(r"-?\d+,\d+|-?[1-9]\d{0,2}(?:\.\d{3})+,\d+")
_ONE_GROUP = re.compile(r"-?[1-9]\d{0,2},\d{3}")  # of thousands, by its looks
_SIGNS = re.compile(r"[-+=<>^/|()\[\]]|\\(?!text|mathrm)[a-zA-Z]+")
_BETWEEN = re.compile(r"(?<![0-9A-Za-z]) | (?![0-9A-Za-z])")


def warm_up() -> None:
    """Import and run once what a comparison needs."""
    for gold, answer in (("\\frac{1}{2}", "0.5"), ("[0,1)", "x^2<1"), ("\\sqrt{2}x", "x*2^{1/2}")):
        compare(gold, answer)


def compare(gold: str, answer: str, policy: Policy = DEFAULT) -> Verdict:
    """Whether `answer` means the same as `gold`. Never raises for bad text: what cannot be settled is undecided."""
    if gold.strip() == answer.strip():
        return Verdict(True, "equal text", "text")
    if max(len(gold), len(answer)) > MAX_CHARS:
        return Verdict(None, f"too costly: longer than {MAX_CHARS} characters", "guard")
    left, right = without_remarks(clean(gold)), without_remarks(clean(answer))
    if not left or not right:
        return Verdict(False, "a blank answer", "text")
    if _BETWEEN.sub("", left) == _BETWEEN.sub("", right):
        return Verdict(True, "equal text", "text")
    choice = _choice(left, right)
    if choice is not None:
        return choice
    return _parsed(left, right, policy)


def _choice(gold: str, answer: str) -> Verdict | None:
    """Letters of multiple choice, alone or with the option's text; None where the gold is no letter."""
    wanted, given = letter(gold), letter(answer)
    if wanted is not None and (wanted.isupper() or is_marked(gold)):
        more = letter_and_more(answer)
        if given is None and more is not None:
            given = more[0]
        if given is not None:
            same_letter = wanted == given or (is_marked(gold) and wanted.upper() == given.upper())
            return Verdict(same_letter, "the same choice" if same_letter else "another choice", "choice")
    elif given is None and (more := letter_and_more(gold)) is not None:
        other = letter_and_more(answer)
        if other is not None:
            return Verdict(more[0] == other[0], "choices with their texts", "choice")
    elif given is not None and (more := letter_and_more(gold)) is not None:
        return Verdict(more[0] == given.upper(), "a choice with its text", "choice")
    return None


def _parsed(gold: str, answer: str, policy: Policy) -> Verdict:
    reason, path, decided = "", "", False
    for left, right in _readings(gold, answer, policy):
        if isinstance(left, str) or isinstance(right, str):
            reason = reason or f"unparsable: {left if isinstance(left, str) else right}"
            continue
        try:
            outcome = same(left, right, policy)
        except TooCostly as error:
            return Verdict(None, f"too costly: {error}", "guard")
        except (Undecided, Undefined) as error:
            reason = reason or f"undecided: {error}"
            continue
        if outcome.equal:
            return Verdict(True, "equal", outcome.path)
        decided, path = True, outcome.path
    if decided:
        return Verdict(False, "not equal", path)
    if plain(gold) and plain(gold) == plain(answer) and _SIGNS.findall(gold) == _SIGNS.findall(answer):
        return Verdict(True, "equal words", "words")
    return Verdict(None, reason, "parse")


def _readings(gold: str, answer: str, policy: Policy) -> Iterator[tuple[Node | str, Node | str]]:
    """The ways in which both can be read, likeliest first: (tree or why there is none) for each side."""
    left, right = read(gold), read(answer)
    yield left, right
    more = letter_and_more(answer)
    if more is not None:  # `(C) 12` against 12
        yield left, read(clean(more[1]))
    more = letter_and_more(gold)
    if more is not None:
        yield read(clean(more[1])), right
    of_gold, of_answer = qualified(gold), qualified(answer)
    qualifiers = {plain(text) for text in (of_gold.qualifier, of_answer.qualifier) if text}
    if len(qualifiers) == 1:
        yield read(of_gold.answer), read(of_answer.answer)
    if isinstance(left, str) or isinstance(right, str):
        return
    if _COMMA_GROUP.search(gold) or _COMMA_GROUP.search(answer):
        yield read(gold, thousands=False), right
        yield left, read(answer, thousands=False)
    yield from _with_decimal_commas(gold, answer, left, right)
    for node, other, swap in ((left, right, True), (right, left, False)):
        approximate = approximate_part(node)
        if approximate is not None:
            yield (approximate, other) if swap else (other, approximate)
    if mentions(left, "log") or mentions(right, "log"):
        yield _with_base_ten(left), _with_base_ten(right)


def _with_decimal_commas(gold: str, answer: str, left: Node, right: Node) -> Iterator[tuple[Node | str, Node | str]]:
    """`2,5` read as 2.5. Three digits after the only comma are thousands, unless the gold has a decimal comma."""
    in_gold = _DECIMAL_COMMA.fullmatch(gold) is not None and not _ONE_GROUP.fullmatch(gold)
    in_answer = _DECIMAL_COMMA.fullmatch(answer) is not None and (in_gold or not _ONE_GROUP.fullmatch(answer))
    if in_gold and in_answer:
        yield _decimal_comma(gold), _decimal_comma(answer)
    elif in_gold and isinstance(right, Num):
        yield _decimal_comma(gold), right
    elif in_answer and isinstance(left, Num):
        yield left, _decimal_comma(answer)


def _decimal_comma(text: str) -> Node | str:
    return read(text.replace(".", "").replace(",", "."))


def _with_base_ten(node: Node) -> Node:
    """`log` without a base read as the decimal logarithm; otherwise it is the natural one."""
    if not isinstance(node, (Call, Named)):
        return node
    args = tuple(map(_with_base_ten, node.args))
    if isinstance(node, Call) and node.name == "log" and len(args) == 1:
        return Call("log", (*args, number(10)))
    return replace(node, args=args)
