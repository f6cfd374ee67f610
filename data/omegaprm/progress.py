"""The live bar of a labelling run: rollouts and tokens a second, share of useful questions; tqdm adds the time left."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable

from tqdm import tqdm

from data.omegaprm.labeller import ERROR, LABELLED
from data.omegaprm.output import Record
from reason.inference.fastchat import Stats


class Progress:
    """Shows the state of a run on stderr. Use as an async context, inside which `update` is called per record."""

    def __init__(self, total: int, finished: Iterable[str], stats: Stats, rollouts: Callable[[], int]) -> None:
        """`finished`: statuses of questions that were finished before; `rollouts()`: how many were drawn since."""
        self._statuses, self._stats, self._rollouts = Counter(finished), stats, rollouts
        self._started = time.monotonic()
        on_screen = sys.stderr.isatty()
        self._every = 0.5 if on_screen else 15.0  # seconds; a log file wants few lines
        before = sum(self._statuses.values())
        self._bar = tqdm(total=total, initial=before, unit="question", mininterval=self._every, dynamic_ncols=on_screen)

    def update(self, record: Record) -> None:
        """Count one finished question."""
        self._statuses[record["status"]] += 1
        self._show(refresh=False)
        self._bar.update()

    def _show(self, refresh: bool) -> None:
        seconds = max(time.monotonic() - self._started, 1e-9)
        failed = self._statuses[ERROR]
        judged = sum(self._statuses.values()) - failed
        figures = {
            "rollouts/s": f"{self._rollouts() / seconds:.1f}",
            "tok/s": f"{self._stats.generated_tokens / seconds:.0f}",
            "useful": f"{self._statuses[LABELLED] / judged:.0%}" if judged else "-",
        }
        self._bar.set_postfix(figures | ({"failed": failed} if failed else {}), refresh=refresh)

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
