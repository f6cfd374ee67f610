"""What a search returns."""

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
    spent: int = 0  # tokens that the search had generated up to this solution

    @property
    def text(self) -> str:
        """The solution as the LM wrote it."""
        return "".join(self.steps)
