"""Where the steps of a sampled solution end among its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from envs.base_env import split_steps
from reason.engine.request import decode_continuation


@dataclass(frozen=True)
class Step:
    """One step: its text, separator included, and how many of the solution's tokens there are up to its end."""

    text: str
    end: int


def cut_steps(
    tokenizer: Any, prompt_ids: Sequence[int], token_ids: Sequence[int], text: str, separator: str
) -> list[Step]:
    """The steps of a solution, whose texts join to `text`; the last one ends with the last token.

    A step ends with the token that completes its last separator. An end-of-text token belongs to the step before, and
    steps that end within one token are one. Text that is blank as a whole is one step.
    """
    pieces, ends = split_steps(text, separator), _separator_ends(tokenizer, prompt_ids, token_ids, text, separator)
    found: list[Step] = []
    separators = 0
    for piece in pieces:
        separators += piece.count(separator)
        end = ends[separators - 1] if separator in piece and separators <= len(ends) else len(token_ids)
        if found and end <= found[-1].end:
            found[-1] = Step(found[-1].text + piece, found[-1].end)
        else:
            found.append(Step(piece, end))
    if not found:
        return [Step(text, len(token_ids))]
    return [*found[:-1], Step(found[-1].text, len(token_ids))]


def _separator_ends(
    tokenizer: Any, prompt_ids: Sequence[int], token_ids: Sequence[int], text: str, separator: str
) -> list[int]:
    """How many tokens there are up to the end of each separator in `text`.

    Only behind tokens that may complete one the text so far is decoded.
    """
    wanted, ends = text.count(separator), list[int]()
    texts = {token: tokenizer.decode([token, token]) for token in set(token_ids)} if wanted else {}
    for index, token in enumerate(token_ids, 1):
        if len(ends) == wanted:
            break
        if separator[-1] in texts[token]:
            known = decode_continuation(tokenizer, prompt_ids, token_ids[:index]).count(separator)
            ends += [index] * (min(known, wanted) - len(ends))
    return ends
