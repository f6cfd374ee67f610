"""T, the mean number of steps of a sampled solution, measured on a few questions of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from envs.base_env import Problem, Task
from reason.common.concurrency import each
from reason.common.errors import RunError
from reason.guided_search.options import SearchOptions
from reason.guided_search.solution import Solution
from reason.guided_search.tree import SearchTree
from reason.inference.base import LanguageModel, ModelError
from reason.inference.ledger import Ledger

QUESTIONS = 16  # the first of a run
SAMPLES = 4  # of each, the first of best-of-N


@dataclass(frozen=True)
class MeasuredSteps:
    """T, what it was measured on, and what that cost."""

    steps_per_solution: float
    questions: int
    solutions: int
    one_step: float  # share of solutions of a single step, which leave a search no choice
    cut: float  # share of solutions that reached max_new_tokens
    ledger: Ledger

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"ledger": self.ledger.to_json()}

    def __str__(self) -> str:
        return (
            f"Steps of a sampled solution: T = {self.steps_per_solution:g}, the mean over {self.solutions} solutions "
            f"of {self.questions} questions ({self.one_step:.0%} of one step, {self.cut:.0%} cut); "
            f"{self.ledger.generated_tokens} tokens"
        )


async def measure_steps(
    problems: Sequence[Problem], task: Task, lm: LanguageModel, options: SearchOptions, num_worker: int = QUESTIONS
) -> MeasuredSteps:
    """T on the first of `problems`, sampled as the search will sample. A question that fails is left out.

    Raises RunError when all fail.
    """
    ledger, first = Ledger(), problems[:QUESTIONS]
    options = replace(options, budget=None, max_tokens_per_question=None, max_seconds_per_question=None)
    by_question: dict[str, list[Solution]] = {}
    errors: list[ModelError] = []

    async def sample(problem: Problem) -> tuple[str, list[Solution]]:
        tree = SearchTree(problem, task, lm, None, options, ledger)
        try:
            await tree.sample_solutions(SAMPLES)
        except ModelError as error:
            errors.append(error)
        return problem.id, tree.solutions()

    await each(first, num_worker, sample, lambda result: by_question.update([result]))
    solutions = [solution for sampled in by_question.values() for solution in sampled]
    if not solutions:
        raise RunError(f"no solution could be sampled to count its steps: {errors[0]}")
    lengths, n = [max(1, len(solution.steps)) for solution in solutions], len(solutions)
    return MeasuredSteps(
        steps_per_solution=round(sum(lengths) / n, 4),
        questions=sum(map(bool, by_question.values())),
        solutions=n,
        one_step=round(sum(length == 1 for length in lengths) / n, 4),
        cut=round(sum(solution.finish_reason == "length" for solution in solutions) / n, 4),
        ledger=ledger,
    )
