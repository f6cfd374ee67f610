"""Which questions an LM can be asked: looked at once, when a run starts, and not in its middle."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from envs.base_env import Problem
from reason.common.concurrency import together
from reason.common.errors import UserError
from reason.inference.base import LanguageModel, ModelError, Sampling, Unavailable
from reason.inference.ledger import Ledger

SHORTEST = Sampling(temperature=0.0, max_tokens=1)


async def askable(problems: Sequence[Problem], prompt_of: Callable[[Problem], str], lm: LanguageModel) -> list[Problem]:
    """The problems that the LM can be asked. The others are left out, and counted in one line on stderr.

    Left out are questions with a lone surrogate, which is no text and has no tokens, and those whose prompt leaves no
    room for a token in the LM's context. Raises UserError when none is left, and for a card without a layout.
    """
    try:
        whys = await together(_why_not(prompt_of(problem), lm) for problem in problems)
    except ValueError as error:
        raise UserError(str(error)) from None
    left_out = [(problem, why) for problem, why in zip(problems, whys) if why is not None]
    if not left_out:
        return list(problems)
    first, why = left_out[0]
    said = f"{len(left_out)} of {len(problems)} questions cannot be asked and are left out, such as {first.id}: {why}"
    if len(left_out) == len(problems):
        raise UserError(said)
    print(f"note: {said}", file=sys.stderr)
    return [problem for problem, why in zip(problems, whys) if why is None]


async def _why_not(prompt: str, lm: LanguageModel) -> str | None:
    """Why this prompt cannot be asked; None when it can."""
    try:
        size = len(prompt.encode("utf-8"))
    except UnicodeEncodeError as error:
        return f"it holds half a character ({prompt[error.start]!a})"
    context = lm.details.get("context_length")
    if context is None or size < context:  # no token is shorter than a byte
        return None
    try:
        await lm.generate(prompt, SHORTEST, [0], Ledger())
    except Unavailable:
        return None  # the run will tell
    except ModelError as error:
        return str(error)
    return None
