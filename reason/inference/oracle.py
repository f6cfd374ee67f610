"""A task's exact oracle as a reward model: the ceiling of every PRM, and with noise a dial of PRM quality."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from envs.base_env import Problem, Task
from reason.common.seeds import draw_seed
from reason.inference.base import ServiceError
from reason.inference.ledger import Ledger
from reason.model_cards.card import PRMCard


class OracleRM:
    """Scores a step 1 while no error was made (`prefix_ok`), else 0.

    `oracle:noise=E` flips the verdict on a step with probability E, the same way each time it is asked.
    Raises ServiceError for a task without an oracle or a malformed name.
    """

    def __init__(self, task: Task, name: str = "oracle") -> None:
        if task.oracle is None:
            raise ServiceError(f"task {task.name!r} has no oracle: --RM oracle cannot score it")
        self._judge, self.noise = task.oracle, _noise(name)
        self.card = PRMCard(name=name, head="oracle", step_tag="", meaning="correctness", aggregation="min")
        self.details: dict[str, Any] = {"engine": "oracle", "noise": self.noise}

    async def score(self, problem: Problem, solutions: Sequence[Sequence[str]], ledger: Ledger) -> list[list[float]]:
        """See `RewardModel.score`; costs no tokens."""
        started = time.monotonic()
        scores = [
            [
                float(verdict.prefix_ok != self._flips(problem, steps[: i + 1]))
                for i, verdict in enumerate(self._judge(problem, steps))
            ]
            for steps in solutions
        ]
        ledger.prm_calls += 1
        ledger.seconds_scoring += time.monotonic() - started
        return scores

    async def close(self) -> None:
        """See `RewardModel.close`; it holds nothing."""

    def _flips(self, problem: Problem, steps: Sequence[str]) -> bool:
        if not self.noise:
            return False
        return draw_seed(0, problem.id + "".join(steps), (), 0, 0) / 2**63 < self.noise


def _noise(name: str) -> float:
    head, _, options = name.partition(":")
    key, _, value = options.partition("=")
    try:
        if head != "oracle" or (options and key != "noise") or not 0 <= (noise := float(value or 0)) <= 1:
            raise ValueError
    except ValueError:
        raise ServiceError(f"{name!r}: the oracle is named oracle or oracle:noise=E with E from 0 to 1") from None
    return noise
