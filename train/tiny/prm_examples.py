"""What the pretraining of `openr-tiny-prm` learns from: right solutions, and copies of them with one step spoilt.

A spoilt copy needs no rollouts and says at which token it goes wrong, as in the pretraining of Clark et al. (2020,
ELECTRA). Corruptions know nothing of the policy: how often it errs, and where, its own rollouts tell.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from prm.scoring.layout import Layouter

UNKNOWN, BAD, GOOD = -1, 0, 1
_NUMBER = re.compile(r"\d+")
_DIGIT = re.compile(r"\d")
_OPERATOR = re.compile(r" [-+*] ")


class TokenExample(NamedTuple):
    """Token ids and, for each token, whether all is right up to here: GOOD, BAD or UNKNOWN. Shapes [tokens]."""

    ids: tuple[int, ...]
    targets: tuple[int, ...]
    tags: tuple[int, ...]  # positions of the step tags, whose targets are the steps' labels


def right(layouter: Layouter, question: str, steps: Sequence[str]) -> TokenExample:
    """A right solution: every token behind the question is GOOD."""
    layout = layouter.lay_out(question, steps)
    opening = layouter.card.question.replace("{question}", question)
    start = len(layouter.bos) + len(layouter.tokenizer.encode(opening, add_special_tokens=False))
    targets = [UNKNOWN] * start + [GOOD] * (len(layout.tokens) - start)
    return TokenExample(layout.tokens, tuple(targets), layout.positions)


def corrupted(layouter: Layouter, question: str, steps: Sequence[str], rng: random.Random) -> TokenExample:
    """A right solution up to a step drawn at random, which is spoilt; its tokens from the first wrong one are BAD."""
    n = rng.randrange(len(steps))
    spoilt = [*steps[:n], spoil(steps[n], rng)]
    sound, example = right(layouter, question, steps[: n + 1]), right(layouter, question, spoilt)
    error = next(i for i, (a, b) in enumerate(zip(sound.ids, example.ids, strict=False)) if a != b)
    return example._replace(targets=example.targets[:error] + (BAD,) * (len(example.ids) - error))


def spoil(step: str, rng: random.Random) -> str:
    """A wrong step: one digit is another, an operator is another, or the result is off wherever the step has it."""
    kind = rng.random()
    if kind < 0.15 and (operators := list(_OPERATOR.finditer(step))):
        return _put(step, rng.choice(operators), rng.choice((" + ", " - ", " * ")), rng)
    result = _NUMBER.match(step, step.index("= ") + 2) if "= " in step else None
    if kind < 0.55 and result is not None:
        wrong = str(max(int(result[0]) + rng.choice((-20, -10, -2, -1, 1, 2, 10, 20)), 0))
        if wrong != result[0]:
            head, rest = step[: result.start()], step[result.end() :]
            return head + wrong + re.sub(rf"\b{result[0]}\b", wrong, rest, count=1)
    return _put(step, rng.choice(list(_DIGIT.finditer(step))), rng.choice("0123456789"), rng)


def _put(step: str, place: re.Match[str], text: str, rng: random.Random) -> str:
    """`step` with another text at `place`; drawn again where it would be the same."""
    return step[: place.start()] + text + step[place.end() :] if text != place[0] else spoil(step, rng)
