"""Many whole continuations of the embedded policy at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from reason.inference import LocalOptions, Opening, open_lm
from reason.inference.base import LanguageModel, Sampling
from reason.inference.ledger import Ledger

ROWS = 1024  # samples under way at a time
MAX_TOKENS = 640


def open_policy(folder: Path) -> Opening[LanguageModel]:
    """The policy in `folder`, a state of the embedded one, in this process and in fp32."""
    local = LocalOptions(dtype="float32", max_samples=ROWS, kv_cache_gib=4)
    return open_lm(f"local:{folder}", card="openr-tiny-policy", local=local)


async def continuations(
    lm: LanguageModel, prompts: Sequence[str], seeds: Sequence[int], temperature: float = 1.0
) -> list[str]:
    """One continuation a prompt, in order, without the end-of-text token; equal neighbours share their prefill."""
    sampling, places = Sampling(temperature, max_tokens=MAX_TOKENS), asyncio.Semaphore(2 * ROWS)

    async def texts_after(prompt: str, its_seeds: list[int]) -> list[str]:
        async with places:
            return [sample.text for sample in await lm.generate(prompt, sampling, its_seeds, Ledger())]

    groups = groupby(zip(prompts, seeds, strict=True), key=lambda pair: pair[0])
    requests = [texts_after(prompt, [seed for _, seed in pairs]) for prompt, pairs in groups]
    return [text for texts in await asyncio.gather(*requests) for text in texts]
