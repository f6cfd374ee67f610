"""A policy LM whose values are known: chains of steps that err with a given chance at each step and never recover."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from data.omegaprm.options import LabelOptions
from data.omegaprm.tree import RolloutTree
from envs.base_env import Problem, Task
from reason.inference.base import Sample, Sampling
from reason.inference.ledger import Ledger
from reason.model_cards.card import LMCard
from tests.reason.guided_search.scripted import TASK, TextGrader


class ChainLM:
    """Writes "1\\n", "2\\n", ... and "answer right"; with chance `error` a step is "<i> bad <j>" (j of `ways`), after
    which the steps are "<i> lost" and the answer is wrong. A prefix of r right steps has value (1 - error)^(n - r).
    """

    card = LMCard(name="chain", prompt="{question}:", step_separator="\n")

    def __init__(self, n: int = 8, error: float = 0.1, ways: int = 3, delay: float = 0.0) -> None:
        self.n, self.error, self.ways, self.delay = n, error, ways, delay
        self.asked: list[tuple[str, int]] = []  # (solution so far, samples)

    async def generate(self, prompt: str, sampling: Sampling, seeds: Sequence[int], ledger: Ledger) -> list[Sample]:
        """See `LanguageModel.generate`."""
        assert len(set(seeds)) == len(seeds)
        await asyncio.sleep(self.delay)
        so_far = prompt.partition(":")[2]
        self.asked.append((so_far, len(seeds)))
        texts = [self.write(so_far, random.Random(seed)) for seed in seeds]
        ledger.lm_calls += 1
        ledger.generated_tokens += sum(len(text.split()) for text in texts)
        return [Sample(text, len(text.split()), "stop") for text in texts]

    def write(self, so_far: str, rng: random.Random) -> str:
        """The rest of a solution of n steps."""
        steps = so_far.splitlines()
        start = len(steps)
        for i in range(start + 1, self.n + 1):
            lost = any("bad" in step for step in steps)
            if not lost and rng.random() < self.error:
                steps.append(f"{i} bad {rng.randrange(self.ways)}" + (" answer wrong" if i == self.n else ""))
            elif i < self.n:
                steps.append(f"{i} lost" if lost else f"{i}")
            else:
                steps.append("answer wrong" if lost else "answer right")
        return "\n".join(steps[start:])


def grow(lm: ChainLM, problem: Problem | None = None, task: Task = TASK, **options: object) -> RolloutTree:
    """A tree of the scripted problem, its root not yet estimated."""
    problem = problem or Problem("p", "q", "right")
    return RolloutTree(problem, task, lm, TextGrader(), LabelOptions(**options), Ledger())  # type: ignore[arg-type]


def true_error(steps: Sequence[str]) -> int:
    """Index of the planted error."""
    return next(i for i, step in enumerate(steps) if "bad" in step)
