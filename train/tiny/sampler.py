"""Many solutions from the policy, in this process, by the transformers engine that also serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from reason.engine.loading import end_tokens
from reason.engine.request import GenerateRequest
from reason.engine.slots import ATTENTION
from reason.engine.transformers_engine import Engine


class Sampler:
    """Samples whole continuations from the model in `folder`, `rows` of them at a time."""

    def __init__(self, folder: Path, max_tokens: int = 640, rows: int = 1024) -> None:
        self.max_tokens, self.rows = max_tokens, rows
        device = "cuda" if torch.cuda.is_available() else "cpu"
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation=ATTENTION)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        ends = end_tokens(model, self.tokenizer)
        self.engine = Engine(model.to(device).eval(), self.tokenizer, ends, rows, kv_bytes=4 << 30)

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int], temperature: float = 1.0) -> list[str]:
        """One continuation a prompt, in order, without the end-of-text token; equal neighbours share their prefill."""
        return asyncio.run(self._sample(prompts, seeds, temperature))

    async def _sample(self, prompts: Sequence[str], seeds: Sequence[int], temperature: float) -> list[str]:
        places = asyncio.Semaphore(2 * self.rows)

        async def one(prompt: str, its_seeds: list[int]) -> list[str]:
            ids = self.tokenizer.encode(prompt)
            request = GenerateRequest(
                ids, its_seeds, temperature, top_p=1.0, top_k=-1, max_tokens=self.max_tokens,
                stop=(), stop_token_ids=(),
            )  # fmt: skip
            async with places:
                return [sample.text for sample in await self.engine.generate(request)]

        groups = groupby(zip(prompts, seeds, strict=True), key=lambda pair: pair[0])
        requests = [one(prompt, [seed for _, seed in pairs]) for prompt, pairs in groups]
        return [text for texts in await asyncio.gather(*requests) for text in texts]
