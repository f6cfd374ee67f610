"""Many awaitables in one process: those that belong together, and many items with a bound on those in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


async def together(coroutines: Iterable[Coroutine[Any, Any, R]]) -> list[R]:
    """Their results, in order; when one raises, the others are stopped."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


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
