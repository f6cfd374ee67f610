"""The tree of one question: prefixes with their Monte Carlo values, and the pool of wrong rollouts.

An algorithm decides which prefixes to estimate and what to make of it; what it sees of models is `estimate`.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from data.omegaprm.confidence import decided
from data.omegaprm.options import LabelOptions
from envs.base_env import Grader, Problem, Task, ending, split_steps
from envs.thoughts import opens_thought
from reason.common.seeds import draw_seed
from reason.inference.base import LanguageModel, Sample, Sampling
from reason.inference.ledger import Ledger
from reason.inference.prompting import render

MAX_STEPS = 200  # a solution of more is degenerate: it counts in c/k, but no labels are made of it

Prefix = tuple[str, ...]  # steps as the LM wrote them, separators included


@dataclass(frozen=True, eq=False)
class McRollout:
    """A finished completion r of a point s; `steps` are the whole solution's."""

    steps: Prefix
    start: int  # how many of the steps are the point's
    right: bool
    num_tokens: int  # of the completion
    cut: bool  # it reached the token limit, or MAX_STEPS

    @property
    def num_words(self) -> int:
        """Words of the completion."""
        return len("".join(self.steps[self.start :]).split())


@dataclass(eq=False)
class Point:
    """A prefix s of a solution."""

    steps: Prefix
    num_tokens: int = 0  # of the prefix; the tokens of a rollout are spread evenly over its steps
    N: int = 0  # how often it was selected
    c: int = 0  # right completions
    k: int = 0  # graded completions; one that the grader cannot decide on is in neither
    drawn: int = 0
    rollouts: list[McRollout] = field(default_factory=list)

    @property
    def MC(self) -> float:
        """MC(s) = c/k. Raises ZeroDivisionError for a point without graded completions."""
        return self.c / self.k


class RolloutTree:
    """All points and rollouts of one question, within its budget."""

    def __init__(
        self, problem: Problem, task: Task, lm: LanguageModel, grader: Grader, options: LabelOptions, ledger: Ledger
    ) -> None:
        self.problem, self.task, self.lm, self.grader = problem, task, lm, grader
        self.options, self.ledger = options, ledger
        self.points: dict[Prefix, Point] = {(): Point(())}
        self.pool: list[tuple[Point, McRollout]] = []  # wrong rollouts of points with 0 < MC < 1, not yet taken
        self.wrong: set[Prefix] = set()  # first errors found: what goes on from them is wrong
        self.spent = 0  # rollouts
        self.undecided = 0  # of them, those that the grader could not decide on
        self.cut = 0  # of them, those that reached a limit; they count in c/k and are not labelled
        self._pooled: set[Prefix] = set()
        self._verdicts: dict[str | None, bool | None] = {None: False}  # of answers; a blank is wrong

    @cached_property
    def prompt(self) -> str:
        """Up to where the solution starts. Raises ValueError for a card without a layout."""
        return render(self.lm.card, self.task.prompt(self.problem))

    @property
    def root(self) -> Point:
        """The bare question."""
        return self.points[()]

    @property
    def can_estimate(self) -> bool:
        """Whether the budget still holds the rollouts of one more point."""
        return self.spent + self.options.num_rollouts <= self.options.rollout_budget

    async def estimate_root(self) -> float | None:
        """Roll out the bare question; MC(root), or None when no rollout could be graded."""
        await self._estimate(self.root, self.options.first_rollouts)
        self._to_pool([self.root])
        return self.root.MC if self.root.k else None

    async def estimate(self, prefixes: Mapping[Prefix, McRollout]) -> bool:
        """Give each prefix (with a rollout that it begins) its k rollouts, all in flight together.

        A prefix that has them is left out, and so is what the budget does not reach: a point gets all its rollouts or
        none. Returns whether a rollout was drawn. Wrong rollouts join the pool in their order. Raises
        ModelError.
        """
        k, reserved, due = self.options.num_rollouts, self.spent, list[Point]()
        for prefix, rollout in prefixes.items():
            if prefix not in self.points and reserved + k <= self.options.rollout_budget:
                point = self.points[prefix] = Point(prefix, self._tokens(prefix, rollout))
                due.append(point)
                reserved += k
        await asyncio.gather(*(self._estimate(point, k) for point in due))
        self._to_pool(due)
        return bool(due)

    def known(self, prefix: Prefix) -> bool | None:
        """Whether the prefix is right, as far as the rollouts made so far tell; None: they do not."""
        point = self.points.get(prefix)
        if point is not None and point.c:
            return True
        if self.options.reuse_rollouts and self._passed_rightly(prefix):
            return True
        if point is not None and point.k:
            return False
        return False if any(prefix[:n] in self.wrong for n in range(1, len(prefix) + 1)) else None

    def rollouts(self) -> Iterator[McRollout]:
        """All of them, points in the order in which they were estimated."""
        for point in self.points.values():
            yield from point.rollouts

    def length(self, rollout: McRollout) -> float:
        """len(r) in the unit of L."""
        return rollout.num_tokens if self.options.length_unit == "tokens" else rollout.num_words

    @cached_property
    def L(self) -> float:
        """The length scale: the option, or the median length of the question's own rollouts."""
        return self.options.length_scale or max(1.0, statistics.median(map(self.length, self.root.rollouts)))

    def _tokens(self, prefix: Prefix, rollout: McRollout) -> int:
        """Tokens of a prefix, those of the rollout spread evenly over its steps."""
        steps = len(prefix) - rollout.start
        before = self.points[rollout.steps[: rollout.start]].num_tokens
        return before + rollout.num_tokens * steps // (len(rollout.steps) - rollout.start)

    def _passed_rightly(self, prefix: Prefix) -> bool:
        n = len(prefix)
        return any(r.right and len(r.steps) > n and r.steps[:n] == prefix for r in self.rollouts())

    def _to_pool(self, points: Sequence[Point]) -> None:
        """Solutions that differ, not cut, at least one step long."""
        for point in points:
            for rollout in point.rollouts if 0 < point.c < point.k else ():
                fresh = not rollout.right and not rollout.cut and len(rollout.steps) > rollout.start
                if fresh and rollout.steps not in self._pooled:
                    self._pooled.add(rollout.steps)
                    self.pool.append((point, rollout))

    async def _estimate(self, point: Point, k: int) -> None:
        wave = self.options.wave if self.options.early_stop and point is not self.root else k
        while point.drawn < k and not (point.drawn and decided(point.c, point.k, k, self.options)):
            await self._draw(point, min(wave, k - point.drawn))

    async def _draw(self, point: Point, n: int) -> None:
        """n more rollouts. Sample i of a point has the same seed whatever was drawn elsewhere or in which waves."""
        options = self.options
        sampling = Sampling(
            temperature=options.temperature,
            top_p=options.top_p,
            top_k=options.top_k,
            max_tokens=max(1, options.max_new_tokens - point.num_tokens),
            stop=self.lm.card.stop,
        )
        place = f"{self.problem.id}\x1f{''.join(point.steps)}"
        seeds = [draw_seed(options.seed, place, (), 0, point.drawn + i) for i in range(n)]
        samples = await self.lm.generate(self.prompt + "".join(point.steps), sampling, seeds, self.ledger)
        point.drawn += n
        self.spent += n
        thought = opens_thought(self.prompt)
        answers = [self.task.answer("".join(point.steps) + sample.text, thought) for sample in samples]
        await self._grade(answers)
        for sample, answer in zip(samples, answers, strict=True):
            self._count(point, sample, self._verdicts[answer])

    async def _grade(self, answers: Sequence[str | None]) -> None:
        """The verdict on each answer; None where the grader cannot decide. Equal texts are graded once."""
        started = time.monotonic()
        fresh = [answer for answer in dict.fromkeys(answers) if answer not in self._verdicts]
        verdicts = await asyncio.gather(*(self.grader.equal(self.problem.answer, answer or "") for answer in fresh))
        self._verdicts.update((answer, verdict.equal) for answer, verdict in zip(fresh, verdicts, strict=True))
        self.ledger.seconds_grading += time.monotonic() - started

    def _count(self, point: Point, sample: Sample, verdict: bool | None) -> None:
        separator = self.lm.card.step_separator
        steps = point.steps + tuple(split_steps(sample.text, separator))
        end = ending(sample.text, sample.finish_reason, separator, to_end=True, depth=len(steps), max_depth=MAX_STEPS)
        cut = end == "length" or len(steps) > MAX_STEPS
        self.cut += cut
        if verdict is None:
            self.undecided += 1
            return
        point.k += 1
        point.c += verdict
        point.rollouts.append(McRollout(steps, len(point.steps), verdict, sample.num_tokens, cut))
