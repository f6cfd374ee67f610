"""A PRM in this process as a `RewardModel`. The only file of the benchmarks that imports torch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from envs.base_env import Problem
from prm.scoring.batcher import Batcher
from prm.scoring.layout import LayoutError
from prm.scoring.scorer import ScoreError, Scorer
from reason.common.errors import UserError
from reason.inference.base import ModelError
from reason.inference.ledger import Ledger
from reason.model_cards.card import PRMCard


@dataclass
class InProcess:
    """What is asked at the same time is scored together, as in the reward worker."""

    scorer: Scorer
    batcher: Batcher
    details: dict[str, Any]

    @property
    def card(self) -> PRMCard:
        """See `RewardModel`."""
        return self.scorer.card

    @classmethod
    def load(
        cls, folder: str, card: PRMCard, device: str | None, base_model: str | None, trust_remote_code: bool
    ) -> InProcess:
        """See `Scorer.load`. Raises UserError."""
        try:
            scorer = Scorer.load(folder, card, device, None, base_model, trust_remote_code)
        except (OSError, ValueError, RuntimeError) as error:
            raise UserError(f"--model_path {folder} cannot be loaded: {error}") from None
        dtype = str(scorer.model.dtype).removeprefix("torch.")
        return cls(scorer, Batcher(scorer), {"engine": "in process", "dtype": dtype})

    async def score(self, problem: Problem, solutions: Sequence[Sequence[str]], ledger: Ledger) -> list[list[float]]:
        """See `RewardModel.score`."""
        started = time.monotonic()
        try:
            result = await self.batcher.run([self.scorer.layouter.lay_out(problem.question, s) for s in solutions])
            scores = result.all_scores()
        except (LayoutError, ScoreError) as error:
            raise ModelError(str(error)) from None
        ledger.prm_calls += 1
        ledger.prm_tokens_computed += result.computed
        ledger.prm_tokens_reused += sum(result.tokens) - result.computed
        ledger.seconds_scoring += time.monotonic() - started
        return scores

    def close(self) -> None:
        """End the scoring thread."""
        self.batcher.close()
