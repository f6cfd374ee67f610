"""A micro-batcher: inputs of many requests meet in one queue and are scored together, in one thread.

While a forward pass runs, what arrives gathers for the next one, so batches grow with the load by themselves; an
idle scorer starts at once. A batch is the input that waited longest and those nearest to it in length (of what is to
be computed of them), within the token budget: nothing starves and padding stays small.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from prm.scoring.layout import Layout
from prm.scoring.scorer import Result, Scored, Scorer, gather
from reason.engine.plan import owners


class Waiting(NamedTuple):
    """An input in the queue."""

    layout: Layout
    scores: asyncio.Future[Scored]  # what Scorer.compute says of it


class Batcher:
    """Feeds one Scorer from one event loop at a time."""

    def __init__(self, scorer: Scorer, wait: float = 0.0) -> None:
        """`wait`: seconds that a busy scorer whose queue does not fill a batch waits for more, between two batches."""
        self.scorer, self.wait = scorer, wait
        self.queue: list[Waiting] = []  # oldest first
        self.thread = ThreadPoolExecutor(1, "scorer")
        self.draining: asyncio.Task[None] | None = None

    async def run(self, layouts: Sequence[Layout]) -> Result:
        """As Scorer.run; a call that is cancelled leaves the queue."""
        owner = owners([layout.key for layout in layouts])
        loop = asyncio.get_running_loop()
        futures = {i: loop.create_future() for i in sorted(set(owner)) if layouts[i].scores}
        self.queue += [Waiting(layouts[i], future) for i, future in futures.items()]
        if self.queue and (self.draining is None or self.draining.done() or self.draining.get_loop() is not loop):
            self.draining = loop.create_task(self._drain())
        scored = dict(zip(futures, await asyncio.gather(*futures.values()), strict=True))
        return gather(scored, owner, layouts)

    def close(self) -> None:
        """End the thread after the batch it is at; calls that wait are cancelled."""
        if self.draining is not None:
            self.draining.cancel()
        for waiting in self.queue:
            waiting.scores.cancel()
        self.thread.shutdown(wait=False, cancel_futures=True)

    async def _drain(self) -> None:
        """Score batch after batch until the queue is empty."""
        while batch := self._waiting():
            try:
                batch = self._next_batch()
                scores = await asyncio.get_running_loop().run_in_executor(
                    self.thread, self.scorer.compute, [waiting.layout for waiting in batch]
                )
            except Exception as error:  # its requests fail with it; the next batch is not to blame
                for waiting in batch:
                    if not waiting.scores.done():
                        waiting.scores.set_exception(error)
                continue
            for waiting, row in zip(batch, scores, strict=True):
                if not waiting.scores.done():  # the client may have hung up
                    waiting.scores.set_result(row)
            if self.wait and sum(len(waiting.layout.tokens) for waiting in self.queue) < self.scorer.token_budget:
                await asyncio.sleep(self.wait)

    def _waiting(self) -> list[Waiting]:
        """The queue without those who hung up."""
        self.queue = [waiting for waiting in self.queue if not waiting.scores.done()]
        return self.queue

    def _next_batch(self) -> list[Waiting]:
        """Take a batch off the queue, which is not empty."""
        batch = self.scorer.pick([waiting.layout for waiting in self.queue])
        taken = set(batch)
        chosen = [self.queue[i] for i in batch]
        self.queue = [waiting for i, waiting in enumerate(self.queue) if i not in taken]
        return chosen
