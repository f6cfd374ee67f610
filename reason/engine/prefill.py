"""Prompts that are computed before their first token is drawn: what a pass holds, and in which order they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from reason.engine.jobs import Job
from reason.engine.slots import CHUNK, Block, round_up

PREFILL_TOKENS = 1024  # of one pass; a longer prompt has one of its own


@dataclass
class NewRows:
    """New rows of jobs with the same prompt."""

    jobs: list[Job]  # those whose first rows they are
    rows: slice
    prompt: list[int]  # without the last token
    known: int = 0  # tokens of `prompt` that are in the rows

    @property
    def fresh(self) -> int:
        """Tokens to be computed."""
        return len(self.prompt) - self.known


class PrefillPass(NamedTuple):
    """Inputs [tokens] of a forward pass; token i is written to rows[i] at positions[i]."""

    ids: np.ndarray
    rows: np.ndarray
    positions: np.ndarray
    blocks: list[Block]


def prefill_pass(prompts: Sequence[NewRows], multiple: int) -> PrefillPass:
    """One pass over what is not known of some prompts, each in its first row, padded to a multiple of tokens."""
    ids: list[int] = []
    rows: list[int] = []
    positions: list[int] = []
    blocks: list[Block] = []
    for new in prompts:
        first = new.known
        while first < len(new.prompt):
            end = min(len(new.prompt), round_up(first + 1, CHUNK))
            blocks.append(Block(len(ids), len(ids) + end - first, round_up(end, CHUNK), new.rows.start))
            ids += new.prompt[first:end]
            rows += [new.rows.start] * (end - first)
            positions += range(first, end)
            first = end
    padding = -len(ids) % multiple  # the last token again, which is written where it is
    blocks[-1] = blocks[-1]._replace(end=len(ids) + padding)
    padded = [np.array(numbers + numbers[-1:] * padding) for numbers in (ids, rows, positions)]
    return PrefillPass(padded[0], padded[1], padded[2], blocks)


def in_common(tokens: Sequence[int], others: Sequence[int]) -> int:
    """How many tokens two prompts begin with alike."""
    return next((i for i, (a, b) in enumerate(zip(tokens, others)) if a != b), min(len(tokens), len(others)))
