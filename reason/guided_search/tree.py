"""The search tree: states, samples, scores, seeds and costs of one question.

An algorithm only decides which nodes grow and when to stop; what it sees of models is `expand`, and of what it may
spend `limits`. Once a limit of tokens or seconds is used up nothing is drawn any more and `expand` returns nothing.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from envs.base_env import Grader, Problem, Task, ending, split_steps
from envs.thoughts import opens_thought
from reason.common.seeds import draw_seed
from reason.guided_search.limits import Limits
from reason.guided_search.node import Node, Visits
from reason.guided_search.options import SearchOptions
from reason.guided_search.solution import Solution
from reason.guided_search.writer import Writer
from reason.inference.base import LanguageModel, ModelError, RewardModel, Sample
from reason.inference.ledger import Ledger
from reason.inference.prompting import render


@dataclass(frozen=True)
class Draw:
    """Samples at a node, and the scores of those that are new there. Not yet in the tree."""

    node: Node
    samples: list[Sample]
    steps: list[tuple[str, ...]]  # of each sample
    scores: dict[tuple[str, ...], Sequence[float]]  # new steps -> scores from the root on
    to_end: bool


class SearchTree:
    """The tree of one question."""

    def __init__(
        self,
        problem: Problem,
        task: Task,
        lm: LanguageModel,
        rm: RewardModel | None,
        options: SearchOptions,
        ledger: Ledger,
        grader: Grader | None = None,
        limits: Limits | None = None,
        path: tuple[int, ...] = (),
    ) -> None:
        """`limits` are those of the options, `path` is that of the root, unless the tree is a part of another."""
        self.problem, self.task, self.lm, self.rm = problem, task, lm, rm
        self.options, self.ledger, self.grader = options, ledger, grader
        self.limits = limits or Limits.of(options, ledger)
        prompt = render(lm.card, task.prompt(problem), task.few_shot if options.few_shot else ())
        self.writer = Writer(lm, prompt, options, ledger)
        self._in_thought = opens_thought(prompt)
        self.root = Node(None, "", path)
        self.parts: list[SearchTree] = []  # what `split` made of it
        self.visits: Mapping[Node, Visits] = {}  # of a Monte Carlo tree search
        self.draws = 0  # calls of `draw`
        self.nodes = 0  # below the root
        self._sampled = 0  # whole solutions drawn by `sample_solutions`
        self._solutions: list[Solution] = []

    def chance(self, *place: int) -> random.Random:
        """Random numbers of an algorithm's own; a function of the run's seed, the problem and `place`."""
        return random.Random(draw_seed(self.options.seed, self.problem.id, (-1, *place), 0, 0))

    def seeds(self, node: Node, clone: int, samples: Iterable[int]) -> list[int]:
        """The seeds of samples of the `clone`-th draw at a node."""
        return [draw_seed(self.options.seed, self.problem.id, node.path, clone, i) for i in samples]

    async def expand(self, nodes: Sequence[Node], width: int | Sequence[int], to_end: bool = False) -> list[Node]:
        """Draw `width` continuations of each node (one number, or one a node), all in flight together, and score them.

        A continuation is one step, or with `to_end` the rest of the solution. Equal steps of a node are one child
        whose `count` grows. Returns the new children in the order of nodes and samples; with `to_end`, the leaves.
        Raises ModelError when a model cannot answer.
        """
        widths = [width] * len(nodes) if isinstance(width, int) else width
        draws = [self.draw(node, n, to_end) for node, n in zip(nodes, widths, strict=True)]
        return [child for draw in await asyncio.gather(*draws) for child in self.attach(draw)]

    def draw(self, node: Node, width: int, to_end: bool = False) -> Awaitable[Draw | None]:
        """The first half of `expand`, for one node: what `attach` takes; None when a limit is used up.

        The steps are counted now, so that `steps_left` does not depend on when replies come; those of whole rests
        are counted by `attach`. The draw's seeds depend on the node and on how often it was drawn from before.
        """
        if self.limits.spent():
            return _none()
        self.draws += 1
        clone, node.draws = node.draws, node.draws + 1
        self.limits.count(tokens=0, steps=0 if to_end else width)
        return self.limits.in_time(self._draw(node, self.seeds(node, clone, range(width)), to_end))

    def attach(self, draw: Draw | None) -> list[Node]:
        """The second half of `expand`: hang samples into the tree; returns the new children."""
        new: list[Node] = []
        if draw is None:
            return new
        for sample, steps in zip(draw.samples, draw.steps, strict=True):
            self.limits.count(sample.num_tokens, len(steps) if draw.to_end else 0)
            leaf, nodes = draw.node.attach(steps, sample)
            self.nodes += nodes
            if leaf.count > 1:
                continue
            new.append(leaf)
            leaf.finish_reason = self.finish_reason(leaf, sample, draw.to_end)
            for member, score in zip([n for n in leaf.lineage() if n.step], draw.scores[steps], strict=True):
                if not member.scored:  # a score stays what it was first: solutions that share a step share its score
                    member.score, member.scored = score, True
            if not leaf.step and leaf.parent is not None:
                leaf.score = leaf.parent.score
        return new

    async def sample_solutions(self, n: int) -> None:
        """Draw n more independent whole solutions from the root, score and collect them; equal ones stay apart.

        The i-th solution of a question is the same however they are asked for: at once, call after call, in parts
        that the tokens left pay for whatever their length (the last may pass the limit by less than a solution), or
        each by a request of its own, so that those that end before the deadline are kept.
        """
        limits = self.limits
        while n > 0 and not limits.spent():
            payable = (limits.max_tokens - limits.tokens) / self.options.max_new_tokens
            indices = range(self._sampled, self._sampled + int(min(n, max(1, payable))))
            self._sampled, n = indices.stop, n - len(indices)
            requests = [indices] if limits.deadline == math.inf else [range(i, i + 1) for i in indices]
            for draw in await asyncio.gather(*(limits.in_time(self._whole(request)) for request in requests)):
                for sample, steps, scores in draw or ():
                    limits.count(sample.num_tokens, max(1, len(steps)))
                    self._collect(steps, scores, sample.num_tokens, sample.finish_reason)

    def split(self, n: int) -> list[SearchTree]:
        """n trees of this question that know nothing of each other: draws of their own, an equal share of the limits
        and the same deadline. `join` takes up what they spent; their leaves can be collected here.
        """
        same = (self.problem, self.task, self.lm, self.rm, self.options, self.ledger, self.grader)
        parts = [SearchTree(*same, self.limits.share(n), path=(-1 - i,)) for i in range(n)]
        self.parts += parts
        return parts

    def join(self, parts: Iterable[SearchTree]) -> None:
        """Add what the trees of `split` spent."""
        for part in parts:
            self.limits.take(part.limits)

    def collect(self, leaves: Iterable[Node]) -> None:
        """Take finished nodes as solutions, in this order; the last of them stands for what was spent for all."""
        before = self._solutions[-1].spent if self._solutions else 0
        for leaf in leaves:
            assert leaf.finish_reason is not None
            tokens = sum(node.num_tokens for node in leaf.lineage())
            self._collect(leaf.steps(), leaf.scores(), tokens, leaf.finish_reason, before)
        if self._solutions:
            self._solutions[-1] = replace(self._solutions[-1], spent=self.limits.tokens)

    def solutions(self) -> list[Solution]:
        """What was collected."""
        return self._solutions

    def finish_reason(self, node: Node, sample: Sample, to_end: bool) -> str | None:
        """How a solution ends with this node, whose step a sample ended with; None where it goes on."""
        separator = self.lm.card.step_separator
        return ending(sample.text, sample.finish_reason, separator, to_end, node.depth, self.options.depth)

    async def score(self, solutions: list[list[str]]) -> Sequence[Sequence[float]]:
        """One score a step; a solution without steps has none and is not sent. Raises ModelError for another number."""
        if self.rm is None:
            return [[0.0] * len(steps) for steps in solutions]
        sent = [steps for steps in solutions if steps]
        received = await self.rm.score(self.problem, sent, self.ledger) if sent else []
        if [len(scores) for scores in received] != [len(steps) for steps in sent]:
            raise ModelError(f"the reward model gave {sum(map(len, received))} scores for {sum(map(len, sent))} steps")
        scores = iter(received)
        return [next(scores) if steps else [] for steps in solutions]

    async def _draw(self, node: Node, seeds: Sequence[int], to_end: bool) -> Draw:
        """Changes nothing of the tree; reads of it only what hangs below `node`."""
        samples = await self.writer.write(node, seeds, to_end)
        steps = [self._steps_of(sample, to_end) for sample in samples]
        new = [s for s in dict.fromkeys(steps) if not node.holds(s)]
        scores = await self.score([node.steps() + [step for step in s if step] for s in new])
        return Draw(node, samples, steps, dict(zip(new, scores, strict=True)), to_end)

    def _steps_of(self, sample: Sample, to_end: bool) -> tuple[str, ...]:
        separator = self.lm.card.step_separator
        steps = split_steps(sample.text, separator) if to_end else [sample.text]
        if to_end and sample.text.endswith(separator):
            steps.append("")  # the text ended behind a separator; a longer sample may go on from there
        return tuple(steps) or ("",)

    async def _whole(self, indices: Sequence[int]) -> list[tuple[Sample, list[str], Sequence[float]]]:
        """Whole solutions by their indices: sample, steps, scores."""
        seeds = self.seeds(self.root, 0, indices)
        samples = await self.writer.write(self.root, seeds, to_end=True, continued=False)
        steps = [split_steps(sample.text, self.lm.card.step_separator) for sample in samples]
        return list(zip(samples, steps, await self.score(steps), strict=True))

    def _collect(
        self, steps: Sequence[str], scores: Sequence[float], tokens: int, reason: str, spent: int | None = None
    ) -> None:
        cut = reason == "length" and not self.options.count_cut_solutions
        answer = self.task.answer("".join(steps), self._in_thought, cut)
        known = tuple(scores) if self.rm is not None else None
        spent = self.limits.tokens if spent is None else spent
        self._solutions.append(Solution(tuple(steps), known, answer, tokens, reason, spent))


async def _none() -> None:
    """What is awaited in place of a draw that a limit forbids."""
