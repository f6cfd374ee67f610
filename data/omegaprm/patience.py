"""A policy LM that waits while the services are away, instead of failing every question in flight."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tqdm import tqdm

from reason.inference.base import LanguageModel, ModelError, Sample, Sampling, ServiceError, Unavailable
from reason.inference.ledger import Ledger
from reason.model_cards.card import LMCard

TRIES = 4  # of a request that fails while the services answer others; then it is its question's error
PROBE = Sampling(temperature=0.0, max_tokens=1)


class ServicesGone(ServiceError):
    """No request was answered for as long as we are willing to wait; the run stops and can be resumed."""


@dataclass
class PatientLM:
    """`lm`, each request of which is tried again, later and later, until `patience` seconds brought no answer to any.

    Whether the services are away or one request is to blame is told by a probe, the shortest request there is.
    `look_up`, where there is one, learns the workers' addresses anew, so that services may come back at other ports.
    """

    lm: LanguageModel
    patience: float
    look_up: Callable[[], Awaitable[None]] | None
    first_delay: float = 1.0
    longest_delay: float = 30.0
    samples: int = 0  # drawn so far, for the progress bar
    _answered: float = field(default_factory=time.monotonic)  # when the last reply came
    _probed: float = 0.0
    _probing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _away: bool = False

    @property
    def card(self) -> LMCard:
        """See `LanguageModel`."""
        return self.lm.card

    @property
    def details(self) -> Mapping[str, Any]:
        """See `LanguageModel`."""
        return self.lm.details

    async def logprobs_of(self, prompt: str, tokens: Sequence[str], ledger: Ledger) -> list[float]:
        """See `LanguageModel`."""
        return await self.lm.logprobs_of(prompt, tokens, ledger)

    async def close(self) -> None:
        """See `LanguageModel`."""
        await self.lm.close()

    async def generate(
        self, prompt: str | Sequence[int], sampling: Sampling, seeds: Sequence[int], ledger: Ledger
    ) -> list[Sample]:
        """See `LanguageModel.generate`. Raises ServicesGone."""
        delay, failures = self.first_delay, 0
        while True:
            try:
                samples = await self.lm.generate(prompt, sampling, seeds, ledger)
            except Unavailable as error:
                if await self._alive(time.monotonic()):
                    failures += 1
                    if failures == TRIES:
                        raise ModelError(str(error)) from None
                else:
                    self._wait(error)
            else:
                self._back()
                self.samples += len(samples)
                return samples
            await asyncio.sleep(delay)
            delay = min(2 * delay, self.longest_delay)

    async def _alive(self, now: float) -> bool:
        """Whether a request was answered since `now`; one probe serves all that wait for it."""
        async with self._probing:
            if self._answered < now and self._probed < now:
                self._probed = time.monotonic()
                try:
                    if self.look_up is not None:
                        await self.look_up()
                    await self.lm.generate("1", PROBE, [0], Ledger())
                except (Unavailable, ServiceError):
                    pass
                except ModelError:
                    self._back()  # a refusal is an answer
                else:
                    self._back()
            return self._answered >= now

    def _wait(self, error: Unavailable) -> None:
        """Say once that the services are away; give up when they stay away."""
        if not self._away:
            self._away = True
            tqdm.write(f"no answer ({error}): waiting up to {self.patience:g} s", file=sys.stderr)
        elif time.monotonic() - self._answered > self.patience:
            advice = "finished questions are kept, start the services and give the same command again"
            raise ServicesGone(f"no answer for {self.patience:g} s ({error}); {advice}")

    def _back(self) -> None:
        now = time.monotonic()
        if self._away:
            tqdm.write(f"the services answer again after {now - self._answered:.0f} s", file=sys.stderr)
        self._answered, self._away = now, False
