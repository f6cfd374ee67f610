"""Many questions at once on one event loop."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from reason.inference.concurrency import together

T = TypeVar("T")
R = TypeVar("R")


async def each(
    items: Sequence[T], num_worker: int, work: Callable[[T], Awaitable[R]], done: Callable[[R], None]
) -> None:
    """Call `done` with what `work` makes of each item, in order of completion, `num_worker` of them in flight.

    Each of the workers takes the next item when it is done: there is no barrier. An error stops all.
    """
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            done(await work(item))

    await together(worker() for _ in range(min(num_worker, len(items))))
