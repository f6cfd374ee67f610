"""Rewards: what a solution is paid for, and that only solutions with scores are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from envs.base_env import Problem, load_task
from reason.inference.base import ModelError
from reason.inference.ledger import Ledger
from reason.inference.oracle import OracleRM
from tests.train.mat.toys import rollout
from train.mat.arguments import RewardOptions
from train.mat.buffers.rollout import Rollout
from train.mat.buffers.steps import Step
from train.mat.runner.rewards import rewarded, scored


def test_a_reward_is_the_sum_of_its_weighted_parts() -> None:
    one = rollout([1] * 9, [4, 9], [0.0, 0.0], outcome=1.0, answer="7", scores=[0.9, 0.4])

    def rewards(of: Rollout, longest: int = 10, **options: Any) -> list[float]:
        return rewarded(of, RewardOptions(**options), longest).rewards.tolist()

    assert rewards(one, outcome_weight=2.0, process_weight=0.5) == pytest.approx([0.45, -0.25 + 2.0])
    assert rewards(one, length_weight=1.0, length_from=0.5) == pytest.approx([0.0, 1.0 - 0.8])
    unread = replace(one, outcome=0.0, answer=None)
    assert rewards(unread, format_weight=0.3) == pytest.approx([0.0, -0.3])
    assert rewards(replace(unread, terminated=False), format_weight=0.3) == [0.0, 0.0]


TASK = load_task("arithmetic")


def solution(*texts: str) -> Rollout:
    one = rollout([1] * len(texts), range(1, len(texts) + 1), [0.0] * len(texts))
    steps = [Step(text, i) for i, text in enumerate(texts, 1)]
    return replace(one, problem=Problem("p", "10 + 20 + 30", "60"), steps=steps)


async def test_scores_are_those_of_a_reward_model() -> None:
    many = [solution("10 + 20 = 30; 30 + 30\n", "30 + 30 = 60"), solution("10 + 20 = 31; 31 + 30\n", "x"), solution("")]
    found = await scored(many, OracleRM(TASK))
    assert [one.text for one in found] == [one.text for one in many]
    assert [one.scores for one in found] == [[1.0, 1.0], [0.0, 0.0], [0.0]]


class Failing(OracleRM):
    """Cannot read `x`."""

    async def score(self, problem: Problem, solutions: Sequence[Sequence[str]], ledger: Ledger) -> list[list[float]]:
        if "x" in solutions[0]:
            raise ModelError("too long")
        return await super().score(problem, solutions, ledger)


async def test_what_the_prm_cannot_score_is_left_out_and_never_a_zero(caplog: pytest.LogCaptureFixture) -> None:
    good, bad = solution("10 + 20 = 30; 30 + 30\n", "30 + 30 = 60"), solution("x")
    assert [one.text for one in await scored([good, bad], Failing(TASK))] == [good.text]
    assert "1 of 2 solutions have no PRM score" in caplog.text
    with pytest.raises(ModelError, match="none of 1 solutions: too long"):
        await scored([solution("x")], Failing(TASK))
