"""What a search returns, and how a solution's text is cut into steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Solution:
    """A finished list of steps."""

    steps: tuple[str, ...]  # as the LM wrote them, separators included
    scores: tuple[float, ...] | None  # the PRM's, one a step; None without a PRM
    answer: str | None  # extracted; None never votes
    num_tokens: int  # generated tokens of this solution
    finish_reason: str  # "stop", or "length" when it was cut
    search_tokens: int = 0  # tokens the search spent since the solution before; sums to the question's total

    @property
    def text(self) -> str:
        """The solution as the LM wrote it."""
        return "".join(self.steps)


def split_steps(text: str, separator: str) -> list[str]:
    """Cut `text` after each separator. Joining the steps gives `text` again; empty text has no step.

    >>> split_steps("a\\nb\\nc", "\\n")
    ['a\\n', 'b\\n', 'c']
    """
    pieces = text.split(separator)
    steps = [piece + separator for piece in pieces[:-1]]
    return steps + [pieces[-1]] if pieces[-1] else steps
