"""Requests under way in the transformers engine, between its thread and the event loops that wait for them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from reason.engine.request import GenerateRequest


@dataclass(eq=False)
class Job:
    """A request under way."""

    request: GenerateRequest
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future  # set to [(token ids, logprob, finish reason, whether by an end token), ...]
    watcher: asyncio.Queue | None = None  # gets the token ids so far after every pass
    aborted: bool = False
    started: int = 0  # samples that have a row or are finished
    results: list = field(default_factory=list)
    missing: int = 0
    reused: int = 0  # tokens of the prompt that the cache knew
    told: dict[int, tuple[float, ...]] = field(default_factory=dict)  # `logprobs_of` of each sample

    @property
    def length(self) -> int:
        """Most tokens that a row of it can hold."""
        return len(self.request.prompt_ids) + self.request.max_tokens

    @property
    def distribution(self) -> tuple[tuple[int, ...], float, float, int]:
        """What the distribution of a first token follows from; samples for which it is the same may share a row."""
        request = self.request
        return tuple(request.prompt_ids), request.temperature, request.top_p, request.top_k

    def settle(self, error: Exception | None = None) -> None:
        """Hand the results, or the error, to the event loop."""

        def deliver() -> None:
            if not self.future.done():
                self.future.set_exception(error) if error else self.future.set_result(self.results)

        self.aborted = True  # nothing more is due
        self.tell(deliver)

    def tell(self, call: Callable[..., None], *arguments: object) -> None:
        """Run a call in the event loop that waits for this job."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(call, *arguments)
