"""The live bar of a run: figures of its kind beside what tqdm shows; tqdm adds the time that is left."""

from __future__ import annotations

import asyncio
import sys
import time
from abc import ABC, abstractmethod
from typing import Any

from tqdm import tqdm

from reason.evaluation.records import Record
from reason.inference.base import Stats


class Bar(ABC):
    """Shows the state of a run on stderr. Use as an async context, inside which `update` is called per record."""

    def __init__(self, total: int, stats: Stats, finished: int = 0) -> None:
        """`finished`: questions of the total that were finished before this process."""
        self.stats, self._started = stats, time.monotonic()
        on_screen = sys.stderr.isatty()
        self._every = 0.5 if on_screen else 15.0  # seconds; a log file wants few lines
        self._bar = tqdm(
            total=total, initial=finished, unit="question", mininterval=self._every, dynamic_ncols=on_screen
        )

    @abstractmethod
    def count(self, record: Record) -> None:
        """Take up one finished question."""

    @abstractmethod
    def figures(self, seconds: float) -> dict[str, Any]:
        """Name -> figure, `seconds` after the start."""

    def update(self, record: Record) -> None:
        """Count one finished question."""
        self.count(record)
        self._show(refresh=False)
        self._bar.update()

    def _show(self, refresh: bool) -> None:
        seconds = max(time.monotonic() - self._started, 1e-9)
        self._bar.set_postfix(self.figures(seconds), refresh=refresh)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            self._show(refresh=True)

    async def __aenter__(self) -> Bar:
        self._ticker = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._ticker.cancel()
        self._bar.close()


class Progress(Bar):
    """Running accuracy, tokens a second, requests in flight."""

    def __init__(self, total: int, stats: Stats) -> None:
        super().__init__(total, stats)
        self._right, self._graded, self._failed = 0, 0, 0

    def count(self, record: Record) -> None:
        """See `Bar`."""
        if record["result"] is None:
            self._failed += 1
        else:
            self._graded += 1
            self._right += record["result"]["headline"]

    def figures(self, seconds: float) -> dict[str, Any]:
        """See `Bar`."""
        figures = {
            "acc": f"{self._right / self._graded:.3f}" if self._graded else "-",
            "tok/s": f"{self.stats.generated_tokens / seconds:.0f}",
            "in flight": self.stats.requests_in_flight,
        }
        return figures | ({"failed": self._failed} if self._failed else {})
