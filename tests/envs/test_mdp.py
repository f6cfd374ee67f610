"""The environment of reinforcement learning: seeded draws, how episodes end, what they are paid."""

from __future__ import annotations

from dataclasses import replace

import pytest

from envs.base_env import Problem, Verdict, load_task
from envs.mdp import Draws, ReasoningEnv
from reason.common.errors import UserError

TASK = load_task("arithmetic")
PROBLEMS = [Problem(f"p{i}", f"{i} + 20 + 30", str(i + 50)) for i in range(10, 17)]


def env(max_depth: int = 5, **task) -> ReasoningEnv:
    changed = replace(TASK, **task)
    return ReasoningEnv(changed, Draws(PROBLEMS, 0), "\n", max_depth, changed.grader())


def test_draws_are_shuffled_epochs_and_a_function_of_seed_and_index() -> None:
    draws = Draws(PROBLEMS, 3)
    whole = draws.take(0, 21)
    for epoch in range(3):
        assert {p.id for p in whole[7 * epoch : 7 * epoch + 7]} == {p.id for p in PROBLEMS}
    assert [draws.at(i) for i in range(21)] == whole == draws.take(0, 5) + draws.take(5, 16)
    assert whole[:7] != whole[7:14]
    assert Draws(PROBLEMS, 4).take(0, 21) != whole
    with pytest.raises(UserError, match="no problems"):
        Draws([], 0)


async def test_a_right_answer_is_paid_at_the_end() -> None:
    one = env()
    one.reset(PROBLEMS[0])
    first = await one.step("10 + 20 = 30; 30 + 30\n")
    assert (first.reward, first.terminated, first.truncated) == (0.0, False, False)
    last = await one.step("30 + 30 = 60")
    assert (last.reward, last.terminated, last.truncated, last.answer) == (1.0, True, False, "60")
    assert last.state.steps == ("10 + 20 = 30; 30 + 30\n", "30 + 30 = 60")
    with pytest.raises(RuntimeError, match="call reset first"):
        await one.step("more")


@pytest.mark.parametrize(
    ("action", "reason", "reward", "terminated", "truncated"),
    [
        ("30 + 30 = 61", None, 0.0, True, False),  # wrong
        ("30 + 30", None, 0.0, True, False),  # no answer
        ("10 + 50 = 60\n", "stop", 1.0, True, False),  # ended behind a separator
        ("10 + 50 = 60", "length", 0.0, False, True),  # cut: not a termination, so nothing is graded
        ("10 + 20 = 30; 30 + 30\n", None, 0.0, False, False),
    ],
)
async def test_terminations_and_truncations(
    action: str, reason: str | None, reward: float, terminated: bool, truncated: bool
) -> None:
    one = env()
    one.reset(PROBLEMS[0])
    found = await one.step(action, reason)
    assert (found.reward, found.terminated, found.truncated) == (reward, terminated, truncated)


async def test_too_many_steps_truncate() -> None:
    one = env(max_depth=2)
    one.reset()
    assert not (await one.step("a\n")).truncated
    assert (await one.step("b\n")).truncated


async def test_an_undecided_answer_has_no_reward() -> None:
    class Undecided:
        async def equal(self, gold: str, answer: str) -> Verdict:
            return Verdict(None, "timed out")

        async def close(self) -> None: ...

    one = env(grader=Undecided)
    one.reset()
    assert (await one.step("10 + 50 = 60")).reward is None


def test_resets_follow_the_draws() -> None:
    one, two = env(), env()
    assert [one.reset().problem for _ in range(9)] == [two.reset().problem for _ in range(9)] == one.draws.take(0, 9)
