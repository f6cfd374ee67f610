"""The search tree: states, samples, scores, seeds and costs of one question.

An algorithm only decides which nodes grow and when to stop; what it sees of models is `expand`, and of what it may
spend `steps_left`. A question's limits of tokens and seconds are kept here: once one is used up nothing is drawn
any more, `expand` returns nothing, and `cut` says why.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from envs.base_env import Grader, Problem, Task, ending, split_steps
from reason.common.seeds import draw_seed
from reason.guided_search.options import SearchOptions
from reason.guided_search.solution import Solution
from reason.inference.base import LanguageModel, ModelError, RewardModel, Sample, Sampling
from reason.inference.ledger import Ledger
from reason.inference.prompting import render

T = TypeVar("T")


@dataclass(eq=False)
class Node:
    """A prefix of a solution: its parent's steps and one more."""

    parent: Node | None
    step: str
    path: tuple[int, ...]  # child indices from the root, behind a mark of its own where a tree was split
    num_tokens: int = 0  # of this step
    logprob: float = 0.0  # of this step, summed over its tokens, in the distribution sampled from
    finish_reason: str | None = None  # "stop" or "length" once finished
    score: float = 0.0  # the PRM's score of this step; 0 without a PRM
    scored: bool = False
    draws: int = 0  # times this node was expanded
    samples: int = 0  # continuations drawn here in total
    count: int = 1  # how many of the parent's samples were this step
    visits: int = 0
    value_sum: float = 0.0
    value_max: float = -math.inf
    virtual: int = 0  # walks of a search that are on their way below this node
    children: dict[str, Node] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether nothing can follow: the model ended its text, or a limit was reached."""
        return self.finish_reason is not None

    @property
    def depth(self) -> int:
        """Number of steps."""
        return len(self.lineage()) - 1

    def lineage(self) -> list[Node]:
        """Root first, this node last."""
        nodes: list[Node] = [self]
        while nodes[-1].parent is not None:
            nodes.append(nodes[-1].parent)
        return nodes[::-1]

    def steps(self) -> list[str]:
        """Texts of the steps so far. An end of text that came without text is no step."""
        return [node.step for node in self.lineage()[1:] if node.step]

    def scores(self) -> list[float]:
        """The PRM's scores of `steps()`."""
        return [node.score for node in self.lineage()[1:] if node.step]


@dataclass(frozen=True)
class Drawn:
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
    ) -> None:
        self.problem, self.task, self.lm, self.rm = problem, task, lm, rm
        self.options, self.ledger, self.grader = options, ledger, grader
        self.prompt = render(lm.card, task.prompt(problem), task.few_shot if options.few_shot else ())
        self.root = Node(None, "", ())
        self.parts: list[SearchTree] = []  # what `split` made of it
        self.steps_sampled = 0
        self.draws = 0  # calls of `draw`
        self.nodes = 0  # below the root
        self.cut: str | None = None  # "tokens" or "seconds": the limit that kept a draw from being made
        self._generated = 0  # tokens of the draws that the tree has taken up
        self._max_steps, self._max_tokens = options.max_steps, options.max_tokens_per_question or math.inf
        self._deadline = time.monotonic() + (options.max_seconds_per_question or math.inf)
        self._sampled = 0  # whole solutions drawn by `sample_solutions`
        self._solutions: list[Solution] = []

    @property
    def steps_left(self) -> float:
        """Steps that the budget still allows to be sampled, N x T less those sampled; infinite without a budget."""
        return max(0.0, self._max_steps - self.steps_sampled)

    def spent(self) -> bool:
        """Whether the question's tokens or seconds are used up; to ask is to be kept from a draw, see `cut`."""
        if self.cut is None and self._generated >= self._max_tokens:
            self.cut, self.ledger.cut_by_tokens = "tokens", 1
        elif self.cut is None and time.monotonic() >= self._deadline:
            self.cut, self.ledger.cut_by_seconds = "seconds", 1
        return self.cut is not None

    def chance(self, *place: int) -> random.Random:
        """Random numbers of an algorithm's own; a function of the run's seed, the problem and `place`."""
        return random.Random(draw_seed(self.options.seed, self.problem.id, (-1, *place), 0, 0))

    async def expand(self, nodes: Sequence[Node], width: int | Sequence[int], to_end: bool = False) -> list[Node]:
        """Draw `width` continuations of each node (one number, or one a node), all in flight together, and score them.

        A continuation is one step, or with `to_end` the rest of the solution. Equal steps of a node are one child
        whose `count` grows. Returns the new children in the order of nodes and samples; with `to_end`, the leaves.
        Raises ModelError when a model cannot answer.
        """
        widths = [width] * len(nodes) if isinstance(width, int) else width
        draws = [self.draw(node, n, to_end) for node, n in zip(nodes, widths, strict=True)]
        return [child for drawn in await asyncio.gather(*draws) for child in self.attach(drawn)]

    def draw(self, node: Node, width: int, to_end: bool = False) -> Awaitable[Drawn | None]:
        """The first half of `expand`, for one node: what `attach` takes; None when a limit is used up.

        The steps are counted now, so that `steps_left` does not depend on when replies come; those of whole rests
        are counted by `attach`. The draw's seeds depend on the node and on how often it was drawn from before.
        """
        if self.spent():
            return _nothing()
        self.draws += 1
        clone, node.draws = node.draws, node.draws + 1
        self.steps_sampled += 0 if to_end else width
        seeds = [draw_seed(self.options.seed, self.problem.id, node.path, clone, i) for i in range(width)]
        return self._in_time(self._draw_and_score(node, seeds, to_end))

    def attach(self, drawn: Drawn | None) -> list[Node]:
        """The second half of `expand`: hang samples into the tree; returns the new children."""
        new: list[Node] = []
        if drawn is None:
            return new
        for sample, steps in zip(drawn.samples, drawn.steps, strict=True):
            self._generated += sample.num_tokens
            self.steps_sampled += len(steps) if drawn.to_end else 0
            leaf = self._attach(drawn.node, steps, sample, drawn.to_end)
            if leaf.count > 1:
                continue
            new.append(leaf)
            for member, score in zip([n for n in leaf.lineage() if n.step], drawn.scores[steps], strict=True):
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
        while n > 0 and not self.spent():
            payable = (self._max_tokens - self._generated) / self.options.max_new_tokens
            indices = range(self._sampled, self._sampled + int(min(n, max(1, payable))))
            self._sampled, n = indices.stop, n - len(indices)
            requests = [indices] if self._deadline == math.inf else [range(i, i + 1) for i in indices]
            for drawn in await asyncio.gather(*(self._in_time(self._whole(request)) for request in requests)):
                for sample, steps, scores in drawn or ():
                    self._generated += sample.num_tokens
                    self.steps_sampled += max(1, len(steps))
                    self._collect(steps, scores, sample.num_tokens, sample.finish_reason, sample.num_tokens)

    async def look_ahead(self, node: Node, steps: int) -> float:
        """The PRM's score at the end of `steps` greedy steps after `node`, or of fewer where the text ends.

        These steps are sampled steps like all others, but no part of the tree.
        """
        end, drawn = node, 0
        if self.spent():
            return node.score
        while drawn < steps and not end.finished:
            seeds = [draw_seed(self.options.seed, self.problem.id, node.path, -1, drawn)]
            samples = await self._in_time(self._generate(end, seeds, to_end=False, greedy=True))
            if samples is None:
                return node.score
            end, drawn = Node(end, samples[0].text, (*end.path, 0), samples[0].num_tokens), drawn + 1
            end.finish_reason = self._finish_reason(end, samples[0], to_end=False)
            self._generated, self.steps_sampled = self._generated + end.num_tokens, self.steps_sampled + 1
        if not drawn:
            return node.score
        scores = await self._in_time(self._score([end.steps()]))
        return scores[0][-1] if scores and scores[0] else node.score

    def split(self, n: int) -> list[SearchTree]:
        """n trees of this question that know nothing of each other: draws of their own, an equal share of the limits
        and the same deadline. `join` takes up what they spent; their leaves can be collected here.
        """
        parts = []
        for i in range(n):
            part = SearchTree(self.problem, self.task, self.lm, self.rm, self.options, self.ledger, self.grader)
            part.root = Node(None, "", (-1 - i,))
            part._max_steps, part._max_tokens = self._max_steps / n, self._max_tokens / n
            part._deadline = self._deadline
            parts.append(part)
        self.parts += parts
        return parts

    def join(self, parts: Iterable[SearchTree]) -> None:
        """Add what the trees of `split` spent."""
        for part in parts:
            self.steps_sampled += part.steps_sampled
            self._generated += part._generated
            self.cut = self.cut or part.cut

    def collect(self, leaves: Iterable[Node]) -> None:
        """Take finished nodes as solutions, in this order; the last carries the tokens spent since the last call."""
        for leaf in leaves:
            assert leaf.finish_reason is not None
            num_tokens = sum(node.num_tokens for node in leaf.lineage())
            self._collect(leaf.steps(), leaf.scores(), num_tokens, leaf.finish_reason, 0)
        self._charge(self._generated)

    def solutions(self) -> list[Solution]:
        """What was collected; its `search_tokens` sum to all that the question generated."""
        self._charge(self.ledger.generated_tokens)
        return self._solutions

    def _charge(self, generated: int) -> None:
        if self._solutions:
            uncharged = generated - sum(s.search_tokens for s in self._solutions)
            last = self._solutions[-1]
            self._solutions[-1] = replace(last, search_tokens=last.search_tokens + uncharged)

    def _attach(self, node: Node, steps: Sequence[str], sample: Sample, to_end: bool) -> Node:
        """Hang the steps of one sample below `node`, merging with equal ones; returns the last."""
        for i, step in enumerate(steps):
            node.samples += 1
            child = node.children.get(step)
            if child is not None:
                child.count += 1
            else:
                # tokens and log-probability of a whole rest are spread evenly over its steps
                tokens = sample.num_tokens * (i + 1) // len(steps) - sample.num_tokens * i // len(steps)
                child = Node(node, step, node.path + (len(node.children),), tokens, sample.logprob / len(steps))
                node.children[step] = child
                self.nodes += 1
                if i == len(steps) - 1:
                    child.finish_reason = self._finish_reason(child, sample, to_end)
            node = child
        return node

    def _finish_reason(self, node: Node, sample: Sample, to_end: bool) -> str | None:
        separator = self.lm.card.step_separator
        return ending(sample.text, sample.finish_reason, separator, to_end, node.depth, self.options.depth)

    async def _draw_and_score(self, node: Node, seeds: Sequence[int], to_end: bool) -> Drawn:
        """Changes nothing of the tree; reads of it only what hangs below `node`."""
        samples = await self._generate(node, seeds, to_end)
        steps = [self._steps_of(sample, to_end) for sample in samples]
        new = [s for s in dict.fromkeys(steps) if not _holds(node, s)]
        scores = await self._score([node.steps() + [step for step in s if step] for s in new])
        return Drawn(node, samples, steps, dict(zip(new, scores, strict=True)), to_end)

    def _steps_of(self, sample: Sample, to_end: bool) -> tuple[str, ...]:
        separator = self.lm.card.step_separator
        steps = split_steps(sample.text, separator) if to_end else [sample.text]
        if to_end and sample.text.endswith(separator):
            steps.append("")  # the text ended behind a separator; a longer sample may go on from there
        return tuple(steps) or ("",)

    async def _whole(self, indices: Sequence[int]) -> list[tuple[Sample, list[str], Sequence[float]]]:
        """Whole solutions by their indices: sample, steps, scores."""
        seeds = [draw_seed(self.options.seed, self.problem.id, self.root.path, 0, i) for i in indices]
        samples = await self._generate(self.root, seeds, to_end=True, continued=False)
        steps = [split_steps(sample.text, self.lm.card.step_separator) for sample in samples]
        return list(zip(samples, steps, await self._score(steps), strict=True))

    async def _generate(
        self, node: Node, seeds: Sequence[int], to_end: bool, greedy: bool = False, continued: bool = True
    ) -> list[Sample]:
        """One sample for each seed, of one step or of the whole rest; `continued`: whether any may be gone on from."""
        card, options = self.lm.card, self.options
        spent = sum(member.num_tokens for member in node.lineage())
        left = max(1, options.max_new_tokens - spent)
        sampling = Sampling(
            temperature=0.0 if greedy else options.temperature,
            top_p=1.0 if greedy else options.top_p,
            top_k=-1 if greedy else options.top_k,
            max_tokens=left if to_end else min(left, options.max_step_tokens),
            stop=card.stop if to_end else (card.step_separator, *card.stop),
            continued=continued,
        )
        return await self.lm.generate(self.prompt + "".join(node.steps()), sampling, seeds, self.ledger)

    async def _score(self, solutions: list[list[str]]) -> Sequence[Sequence[float]]:
        """One score a step; a solution without steps has none and is not sent. Raises ModelError for another number."""
        if self.rm is None:
            return [[0.0] * len(steps) for steps in solutions]
        sent = [steps for steps in solutions if steps]
        received = await self.rm.score(self.problem, sent, self.ledger) if sent else []
        if [len(scores) for scores in received] != [len(steps) for steps in sent]:
            raise ModelError(f"the reward model gave {sum(map(len, received))} scores for {sum(map(len, sent))} steps")
        scores = iter(received)
        return [next(scores) if steps else [] for steps in solutions]

    async def _in_time(self, work: Awaitable[T]) -> T | None:
        """What `work` gives, or None at the question's deadline; what is then still in flight is dropped."""
        if self._deadline == math.inf:
            return await work
        try:
            return await asyncio.wait_for(work, max(0.0, self._deadline - time.monotonic()))
        except asyncio.TimeoutError:  # a model's own timeout is a ModelError
            self.cut, self.ledger.cut_by_seconds = "seconds", 1
            return None

    def _collect(
        self, steps: Sequence[str], scores: Sequence[float], num_tokens: int, finish_reason: str, search_tokens: int
    ) -> None:
        answer = self.task.extract("".join(steps))
        known = tuple(scores) if self.rm is not None else None
        self._solutions.append(Solution(tuple(steps), known, answer, num_tokens, finish_reason, search_tokens))


def _holds(node: Node, steps: Iterable[str]) -> bool:
    """Whether these steps hang below `node`."""
    for step in steps:
        if step not in node.children:
            return False
        node = node.children[step]
    return True


async def _nothing() -> None:
    """The draw that was not made."""
