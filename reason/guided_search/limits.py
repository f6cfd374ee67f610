"""What a question may spend: steps by its budget, tokens, and seconds."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable
from typing import TypeVar

from reason.guided_search.options import SearchOptions
from reason.inference.ledger import Ledger

R = TypeVar("R")


class Limits:
    """The limits of one question, and what was spent of them. A limit that ended the search is marked in the ledger."""

    def __init__(self, max_steps: float, max_tokens: float, deadline: float, ledger: Ledger) -> None:
        """`deadline` is a time of the monotonic clock. math.inf is no limit."""
        self.max_steps, self.max_tokens, self.deadline, self.ledger = max_steps, max_tokens, deadline, ledger
        self.steps = 0  # sampled
        self.tokens = 0  # of the draws that the tree has taken up
        self.cut: str | None = None  # "tokens" or "seconds": the limit that kept a draw from being made

    @classmethod
    def of(cls, options: SearchOptions, ledger: Ledger) -> Limits:
        """Those that the options name; the seconds count from now."""
        deadline = time.monotonic() + (options.max_seconds_per_question or math.inf)
        return cls(options.max_steps, options.max_tokens_per_question or math.inf, deadline, ledger)

    @property
    def steps_left(self) -> float:
        """Steps that the budget still allows to be sampled, N x T less those sampled; infinite without a budget."""
        return max(0.0, self.max_steps - self.steps)

    def spent(self) -> bool:
        """Whether the tokens or the seconds are used up. Asked before each draw: the first that is goes to `cut`."""
        if self.cut is None and self.tokens >= self.max_tokens:
            self.cut, self.ledger.cut_by_tokens = "tokens", 1
        elif self.cut is None and time.monotonic() >= self.deadline:
            self.cut, self.ledger.cut_by_seconds = "seconds", 1
        return self.cut is not None

    def count(self, tokens: int, steps: int = 0) -> None:
        """Add what a sample came to."""
        self.tokens, self.steps = self.tokens + tokens, self.steps + steps

    def share(self, n: int) -> Limits:
        """An n-th of steps and tokens, with the same deadline."""
        return Limits(self.max_steps / n, self.max_tokens / n, self.deadline, self.ledger)

    def take(self, part: Limits) -> None:
        """Add what was spent of a share."""
        self.count(part.tokens, part.steps)
        self.cut = self.cut or part.cut

    async def in_time(self, work: Awaitable[R]) -> R | None:
        """What `work` gives, or None at the deadline; what is then still in flight is dropped."""
        if self.deadline == math.inf:
            return await work
        try:
            return await asyncio.wait_for(work, max(0.0, self.deadline - time.monotonic()))
        except asyncio.TimeoutError:  # a model's own timeout is a ModelError
            self.cut, self.ledger.cut_by_seconds = "seconds", 1
            return None
