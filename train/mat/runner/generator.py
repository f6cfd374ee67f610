"""Solutions from the policy in training: what every rollout engine does, and the transformers engine in this process.

The others are in vllm_generator.py and served_generator.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from reason.engine.request import EngineError, Generated, GenerateRequest
from reason.engine.slots import ATTENTION
from reason.engine.transformers_engine import Engine
from reason.inference.base import ModelError, Sampling
from reason.model_cards.card import LMCard
from train.mat.agents.policy import Policy

GIB = 2**30


class RolloutEngine(Protocol):
    """Samples with the policy's weights as they were at the last `push`."""

    replicas: int  # engines behind it: as many requests at once reach each of them
    dtype: torch.dtype  # that it computes in

    def start(self) -> None:
        """What may fail in one process alone before the first `push`. Raises UserError."""

    def push(self) -> None:
        """Take over the policy's weights; nothing computed by old ones is left. Raises RunError.

        All processes must do so at once where the policy is in shards.
        """

    async def generate(self, prompt_ids: list[int], seeds: Sequence[int], sampling: Sampling) -> list[Generated]:
        """One solution a seed. Raises ModelError, RuntimeError before the first `push`."""

    def close(self) -> None:
        """End what was started."""


class Generator:
    """The transformers engine that also serves models, in this process; `close` ends its thread."""

    replicas = 1

    def __init__(self, policy: Policy, rows: int, own_weights: bool = False) -> None:
        """`own_weights`: a copy of them, so that it may sample while the policy learns; else push after each update."""
        self.policy, self.rows, self.own_weights = policy, rows, own_weights
        self.dtype = policy.sampler_dtype
        self.engine: Engine | None = None

    def start(self) -> None:
        """See `RolloutEngine`."""

    def push(self) -> None:
        """See `RolloutEngine`. A new engine each time."""
        self.close()
        model = self.policy.sampler(ATTENTION, self.own_weights)
        memory = int(torch.cuda.mem_get_info()[0] * 0.5) if model.device.type == "cuda" else 4 * GIB
        self.engine = Engine(model, self.policy.tokenizer, self.policy.end_ids, self.rows, memory)

    async def generate(self, prompt_ids: list[int], seeds: Sequence[int], sampling: Sampling) -> list[Generated]:
        """See `RolloutEngine`."""
        if self.engine is None:
            raise RuntimeError("push the policy's weights first")
        try:
            return await self.engine.generate(request(self.policy.card, prompt_ids, seeds, sampling))
        except EngineError as error:
            raise ModelError(f"sampling failed: {error}") from None

    def close(self) -> None:
        """See `RolloutEngine`."""
        if self.engine is not None:
            self.engine.close()
            self.engine = None


def request(card: LMCard, prompt_ids: list[int], seeds: Sequence[int], sampling: Sampling) -> GenerateRequest:
    """What an engine in this process is asked for."""
    return GenerateRequest(
        prompt_ids, list(seeds), sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_tokens,
        stop=card.stop, stop_token_ids=(),
    )  # fmt: skip
