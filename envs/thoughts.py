"""Thoughts of reasoning models: where their tags are. A thought is generated and recorded, and never graded."""

from __future__ import annotations

import re

TAIL = 100_000  # characters of a text's end that are looked at

_NAME = r"[\w:-]{0,20}(?:think|thought|reason|scratchpad|reflect)[\w:-]{0,20}"  # think_fast, seed:think, reasoning
_END = re.compile(rf"</{_NAME}>|\[/{_NAME}\]|<\|(?:end_of_|/){_NAME}\|>|<\|{_NAME}_end\|>|◁/think▷", re.IGNORECASE)
_START = re.compile(rf"<{_NAME}>|\[{_NAME}\]|<\|(?:begin_of_)?{_NAME}(?<!_end)\|>|◁think▷", re.IGNORECASE)


def opens_thought(prompt: str) -> bool:
    """Whether a prompt ends with the opening tag of a thought, as templates of reasoning models do."""
    starts = list(_START.finditer(prompt[-TAIL:]))
    return bool(starts) and not prompt[-TAIL:][starts[-1].end() :].strip()


def without_thoughts(text: str, opened: bool = False) -> str:
    """What follows the last thought; of a thought without an end, what stands before it.

    `opened`: whether the prompt opened a thought. Without its end nothing is left.
    """
    ends = list(_END.finditer(text))
    if ends:
        return text[ends[-1].end() :]
    if opened:
        return ""
    start = _START.search(text)
    return text[: start.start()] if start else text
