"""Final answers of the arithmetic task: extraction from the last line, and comparison as integers."""

from __future__ import annotations

import re

from envs.base_env import Verdict

TAIL = 400  # characters of the text's end that are looked at

_OPERAND = r"(?:-?\d{1,12}|\(-?\d{1,12}\))"
_LAST_LINE = re.compile(rf"(?:Wait, )?{_OPERAND} *[-+*] *{_OPERAND} *= *(-?\d{{1,24}})", re.ASCII)
_INTEGER = re.compile(r"\s*([-+]?\d{1,24})\s*", re.ASCII)


def extract(text: str) -> str | None:
    """The value c of a last line `a op b = c`, as canonical integer text; None when that line has another form."""
    lines = text[-TAIL:].strip().splitlines()
    match = _LAST_LINE.fullmatch(lines[-1].strip()) if lines else None
    return str(int(match.group(1))) if match else None


def gold(text: str) -> str | None:
    """The integer of a reference: it stands alone, behind the last ####, or at the end of a solution; None without."""
    match = _INTEGER.fullmatch(text.rpartition("####")[2][:100])
    return str(int(match.group(1))) if match else extract(text)


class IntegerGrader:
    """Two answers are equal when both are integers of the same value."""

    async def equal(self, gold: str, answer: str) -> Verdict:
        """Never raises; an answer that is no integer is not equal to any."""
        left, right = _INTEGER.fullmatch(gold[:100]), _INTEGER.fullmatch(answer[:100])
        if left is None or right is None:
            return Verdict(False, f"not an integer: {(answer if left else gold)[:40]!r}", "integer")
        same = int(left.group(1)) == int(right.group(1))
        return Verdict(same, "equal integers" if same else "different integers", "integer")

    async def close(self) -> None:
        """Nothing is held."""
