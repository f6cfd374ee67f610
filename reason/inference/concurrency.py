"""Many requests in one process: those that belong together, and what keeps thousands of them cheap."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

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


def collect_rarely() -> None:
    """Let the garbage collector look more rarely than Python's default.

    What thousands of requests under way hold is alive, and each look goes through it all: with 4,000 of a search it
    took half a core.
    """
    gc.set_threshold(50_000, 10, 10)
