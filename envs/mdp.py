"""The problems of a task as a seeded environment for reinforcement learning, with the grader's outcome reward."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from envs.base_env import CoTEnv, Grader, Problem, State, Task, Verdict
from reason.common.errors import UserError


@dataclass(frozen=True)
class Transition:
    """What one step led to. After a termination or a truncation the episode is over."""

    state: State
    reward: float | None  # 1 for a right answer, else 0; None where the grader could not decide
    terminated: bool
    truncated: bool
    answer: str | None = None  # extracted, at a termination
    verdict: Verdict | None = None  # of the answer, at a termination with one


@dataclass(frozen=True)
class Draws:
    """An endless order of problems: each epoch is a shuffle of all. Draw i is a function of (seed, i) alone."""

    problems: Sequence[Problem]
    seed: int

    def __post_init__(self) -> None:
        if not self.problems:
            raise UserError("there are no problems to draw from")

    def at(self, index: int) -> Problem:
        """Draw `index`, from 0."""
        return self.take(index, 1)[0]

    def take(self, start: int, count: int) -> list[Problem]:
        """Draws `start` to `start + count`."""
        drawn: list[Problem] = []
        while len(drawn) < count:
            epoch, first = divmod(start + len(drawn), len(self.problems))
            order = list(range(len(self.problems)))
            random.Random(f"openr draws {self.seed} {epoch}").shuffle(order)
            drawn += [self.problems[i] for i in order[first : first + count - len(drawn)]]
        return drawn


@dataclass
class ReasoningEnv:
    """`reset` gives the next question, `step` takes one step of a solution. The MDP itself is `CoTEnv`.

    The reward is 0 until the model ends its text; then it is the grader's verdict on the answer. A solution that was
    cut has no answer to grade.
    """

    task: Task
    draws: Draws
    separator: str
    max_depth: int
    grader: Grader
    thought: bool = False  # whether the policy's prompt opens a thought
    episodes: int = 0  # started so far
    env: CoTEnv | None = field(init=False, default=None)

    def reset(self, problem: Problem | None = None) -> State:
        """Start the next episode, on the next draw or on a given problem."""
        if problem is None:
            problem = self.draws.at(self.episodes)
        self.episodes += 1
        self.env = CoTEnv(self.task, problem, self.separator, self.max_depth)
        return self.env.state

    async def step(self, action: str, finish_reason: str | None = None) -> Transition:
        """See `CoTEnv.step`. Raises RuntimeError before the first `reset` and after the end of an episode."""
        if self.env is None:
            raise RuntimeError("no episode is under way: call reset first")
        state, terminated, truncated = self.env.step(action, finish_reason)
        problem = state.problem
        if terminated or truncated:
            self.env = None
        if not terminated:
            return Transition(state, 0.0, False, truncated)
        answer = self.task.answer(state.text, self.thought)
        if answer is None:
            return Transition(state, 0.0, True, False)
        verdict = await self.grader.equal(problem.answer, answer)
        reward = None if verdict.equal is None else float(verdict.equal)
        return Transition(state, reward, True, False, answer, verdict)
