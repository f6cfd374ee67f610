"""An event loop in a thread of its own, and the models that are open on it: what `solve` runs on.

It works inside a running event loop too, as a notebook has one, and its models outlive a call.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class OpenModels:
    """Models that stay open, by what they were opened as."""

    def __init__(self) -> None:
        self._opening: dict[object, asyncio.Future[Any]] = {}

    async def get(self, key: object, opening: Callable[[], Awaitable[T]]) -> T:
        """The open model of this key. The first to ask opens it, those who ask meanwhile wait. Raises its errors."""
        if key not in self._opening:
            self._opening[key] = asyncio.ensure_future(opening())
        future = self._opening[key]
        try:
            return await asyncio.shield(future)  # another question may be waiting for it
        finally:
            if future.done() and (future.cancelled() or future.exception()):
                self._opening.pop(key, None)

    async def close(self) -> None:
        """Close all of them."""
        while self._opening:
            _, future = self._opening.popitem()
            model = await future
            await model.close()


class Background:
    """The loop; its thread starts with the first call."""

    def __init__(self) -> None:
        self.models = OpenModels()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives. Where the wait is interrupted, `work` is cancelled."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="solve", daemon=True).start()
                atexit.register(self.close)
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Close the models; the loop goes on."""
        if self._loop is not None:
            self.run(self.models.close())


BACKGROUND = Background()
