"""Solutions from the policy in training, in this process, by the transformers engine that also serves models."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from reason.inference.base import ModelError, Sampling
from reason.llm_service.workers.base_worker import WorkerError
from reason.llm_service.workers.generation import Generated, GenerateRequest
from reason.llm_service.workers.slots import ATTENTION
from reason.llm_service.workers.transformers_engine import Engine
from train.mat.agents.policy import Policy

GIB = 2**30


class Generator:
    """Samples with the weights of the last `push`. Use as an async context; `close` ends the engine's thread."""

    def __init__(self, policy: Policy, rows: int) -> None:
        self.policy, self.rows = policy, rows
        self.engine: Engine | None = None

    def push(self) -> None:
        """Take over the policy's weights. A new engine, so that nothing that was computed by old weights is left."""
        self.close()
        model = self.policy.sampler(ATTENTION)
        memory = int(torch.cuda.mem_get_info()[0] * 0.5) if model.device.type == "cuda" else 4 * GIB
        self.engine = Engine(model, self.policy.tokenizer, self.policy.end_ids, self.rows, memory)

    async def generate(self, prompt_ids: list[int], seeds: Sequence[int], sampling: Sampling) -> list[Generated]:
        """One solution a seed. Raises ModelError, RuntimeError before the first `push`."""
        if self.engine is None:
            raise RuntimeError("push the policy's weights first")
        request = GenerateRequest(
            "", prompt_ids, list(seeds), sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_tokens,
            stop=self.policy.card.stop, stop_token_ids=(), include_stop=True, echo=False,
        )  # fmt: skip
        try:
            return await self.engine.generate(request)
        except WorkerError as error:
            raise ModelError(f"sampling failed: {error}") from None

    def close(self) -> None:
        """End the engine, where there is one."""
        if self.engine is not None:
            self.engine.close()
            self.engine = None
