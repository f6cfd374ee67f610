"""The progress bar: running accuracy, tokens a second, requests in flight; tqdm adds the time that is left."""

from __future__ import annotations

import asyncio
import sys
import time

from tqdm import tqdm

from reason.evaluation.records import Record
from reason.inference.fastchat import Stats


class Progress:
    """Shows the state of a run on stderr. Use as an async context, inside which `update` is called per record."""

    def __init__(self, total: int, stats: Stats) -> None:
        self._stats, self._started, self._right, self._graded, self._failed = stats, time.monotonic(), 0, 0, 0
        on_screen = sys.stderr.isatty()
        self._every = 0.5 if on_screen else 15.0  # seconds; a log file wants few lines
        self._bar = tqdm(total=total, unit="question", mininterval=self._every, dynamic_ncols=on_screen)

    def update(self, record: Record) -> None:
        """Count one finished question."""
        if record["result"] is None:
            self._failed += 1
        else:
            self._graded += 1
            self._right += record["result"]["headline"]
        self._show(refresh=False)
        self._bar.update()

    def _show(self, refresh: bool) -> None:
        seconds = max(time.monotonic() - self._started, 1e-9)
        figures = {
            "acc": f"{self._right / self._graded:.3f}" if self._graded else "-",
            "tok/s": f"{self._stats.generated_tokens / seconds:.0f}",
            "in flight": self._stats.requests_in_flight,
        }
        self._bar.set_postfix(figures | ({"failed": self._failed} if self._failed else {}), refresh=refresh)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            self._show(refresh=True)

    async def __aenter__(self) -> Progress:
        self._ticker = asyncio.create_task(self._tick())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._ticker.cancel()
        self._bar.close()
