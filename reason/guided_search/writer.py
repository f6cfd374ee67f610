"""What a search asks of the LM: the next step, or the rest of a solution."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reason.common.seeds import draw_seed
from reason.guided_search.node import Node
from reason.guided_search.options import SearchOptions
from reason.inference.base import LanguageModel, Sample, Sampling
from reason.inference.ledger import Ledger


@dataclass(frozen=True)
class Writer:
    """An LM that goes on from the prefixes of one question's solutions."""

    lm: LanguageModel
    prompt: str
    options: SearchOptions
    ledger: Ledger

    async def write(
        self, node: Node, seeds: Sequence[int], to_end: bool, greedy: bool = False, continued: bool = True
    ) -> list[Sample]:
        """One sample for each seed, of one step or of the whole rest; `continued`: whether any may be gone on from.

        No step is blank: behind blank text a sample goes on, and blank text at the end of a solution is left out.
        Raises ModelError.
        """
        card, options = self.lm.card, self.options
        left = max(1, options.max_new_tokens - sum(member.num_tokens for member in node.lineage()))
        sampling = Sampling(
            temperature=0.0 if greedy else options.temperature,
            top_p=1.0 if greedy else options.top_p,
            top_k=-1 if greedy else options.top_k,
            max_tokens=left if to_end else min(left, options.max_step_tokens),
            stop=card.stop if to_end else (card.step_separator, *card.stop),
            continued=continued,
        )
        prompt = self.prompt + "".join(node.steps())
        samples = await self.lm.generate(prompt, sampling, seeds, self.ledger)
        if to_end or not any(sample.text.isspace() for sample in samples):
            return samples
        beyond = (self._beyond_blank(prompt, sampling, *drawn) for drawn in zip(samples, seeds, strict=True))
        return await asyncio.gather(*beyond)

    async def _beyond_blank(self, prompt: str, sampling: Sampling, sample: Sample, seed: int) -> Sample:
        """A sample of one step, drawn on while it is blank."""
        goes_on = sample.finish_reason == "stop"
        while goes_on and sample.text.isspace() and sample.text.endswith(self.lm.card.step_separator):
            left = sampling.max_tokens - sample.num_tokens
            if left < 1:
                return replace(sample, text="", finish_reason="length")
            seed = draw_seed(seed, "", (), 0, 0)
            again = replace(sampling, max_tokens=left)
            (more,) = await self.lm.generate(prompt + sample.text, again, [seed], self.ledger)
            goes_on = more.finish_reason == "stop" and more.text != ""
            sample = replace(
                more,
                text=sample.text + more.text,
                num_tokens=sample.num_tokens + more.num_tokens,
                logprob=sample.logprob + more.logprob,
                token_ids=sample.token_ids + more.token_ids,
            )
        return replace(sample, text="") if sample.text.isspace() else sample
