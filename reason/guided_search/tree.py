"""The search tree: states, samples, scores, seeds and costs of one question.

An algorithm only decides which nodes grow and when to stop; what it sees of models is `expand`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from envs.base_env import Problem, Task
from reason.guided_search.options import SearchOptions
from reason.guided_search.solution import Solution, split_steps
from reason.inference.base import LanguageModel, RewardModel, Sample, Sampling
from reason.inference.ledger import Ledger
from reason.inference.prompting import render
from reason.inference.seeds import draw_seed


@dataclass(eq=False)
class Node:
    """A prefix of a solution: its parent's steps and one more."""

    parent: "Node | None"
    step: str
    path: tuple[int, ...]  # child indices from the root
    num_tokens: int = 0  # of this step
    finish_reason: str | None = None  # "stop" or "length" once finished
    score: float = 0.0  # the PRM's score of this step; 0 without a PRM
    scored: bool = False
    draws: int = 0  # times this node was expanded
    samples: int = 0  # continuations drawn here in total
    count: int = 1  # how many of the parent's samples were this step
    visits: int = 0
    value_sum: float = 0.0
    children: dict[str, "Node"] = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether nothing can follow: the model ended its text, or a limit was reached."""
        return self.finish_reason is not None

    @property
    def depth(self) -> int:
        """Number of steps."""
        return len(self.path)

    def lineage(self) -> list["Node"]:
        """Root first, this node last."""
        nodes: list[Node] = [self]
        while nodes[-1].parent is not None:
            nodes.append(nodes[-1].parent)
        return nodes[::-1]

    def steps(self) -> list[str]:
        """Texts of the steps so far. An end of text that came without text is no step."""
        return [node.step for node in self.lineage()[1:] if node.step]


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
    ) -> None:
        self.problem, self.task, self.lm, self.rm = problem, task, lm, rm
        self.options, self.ledger = options, ledger
        self.prompt = render(lm.card, task.prompt(problem), task.few_shot if options.few_shot else ())
        self.root = Node(None, "", ())
        self._solutions: list[Solution] = []

    async def expand(self, nodes: Sequence[Node], width: int, to_end: bool = False) -> list[Node]:
        """Draw `width` continuations of each node, all in flight together, and score them.

        A continuation is one step, or with `to_end` the rest of the solution. Equal steps of a node are one child
        whose `count` grows. Returns the new children in the order of nodes and samples; with `to_end`, the leaves.
        Raises ModelError when a model cannot answer.
        """
        grown = await asyncio.gather(*(self._expand(node, width, to_end) for node in nodes))
        return [child for children in grown for child in children]

    async def sample_solutions(self, n: int) -> None:
        """Draw n independent whole solutions from the root, score and collect them; equal ones stay apart."""
        samples = await self._draw(self.root, n, to_end=True)
        steps = [split_steps(sample.text, self.lm.card.step_separator) for sample in samples]
        scores = await self._score(steps)
        for sample, its_steps, its_scores in zip(samples, steps, scores, strict=True):
            self._collect(its_steps, its_scores, sample.num_tokens, sample.finish_reason, sample.num_tokens)

    def collect(self, leaves: Iterable[Node]) -> None:
        """Take finished nodes as solutions, in this order; the last carries the tokens spent since the last call."""
        for leaf in leaves:
            assert leaf.finish_reason is not None
            nodes = leaf.lineage()[1:]
            scores = [node.score for node in nodes if node.step]
            self._collect(leaf.steps(), scores, sum(node.num_tokens for node in nodes), leaf.finish_reason, 0)
        self._charge()

    def solutions(self) -> list[Solution]:
        """What was collected; its `search_tokens` sum to all that the question generated."""
        self._charge()
        return self._solutions

    def _charge(self) -> None:
        if self._solutions:
            uncharged = self.ledger.generated_tokens - sum(s.search_tokens for s in self._solutions)
            last = self._solutions[-1]
            self._solutions[-1] = replace(last, search_tokens=last.search_tokens + uncharged)

    async def _expand(self, node: Node, width: int, to_end: bool) -> list[Node]:
        samples = await self._draw(node, width, to_end)
        new: list[Node] = []
        for sample in samples:
            steps = split_steps(sample.text, self.lm.card.step_separator) if to_end else [sample.text]
            if to_end and sample.text.endswith(self.lm.card.step_separator):
                steps.append("")  # the text ended behind a separator; a longer sample may go on from there
            leaf = self._attach(node, steps or [""], sample, to_end)
            if leaf.count == 1:
                new.append(leaf)
        for leaf, scores in zip(new, await self._score([leaf.steps() for leaf in new]), strict=True):
            for member, score in zip([n for n in leaf.lineage() if n.step], scores, strict=True):
                if not member.scored:  # a score stays what it was first: solutions that share a step share its score
                    member.score, member.scored = score, True
            if not leaf.step and leaf.parent is not None:
                leaf.score = leaf.parent.score
        return new

    def _attach(self, node: Node, steps: list[str], sample: Sample, to_end: bool) -> Node:
        """Hang the steps of one sample below `node`, merging with equal ones; returns the last."""
        for i, step in enumerate(steps):
            node.samples += 1
            child = node.children.get(step)
            if child is not None:
                child.count += 1
            else:
                # the tokens of a whole rest are spread evenly over its steps
                tokens = sample.num_tokens * (i + 1) // len(steps) - sample.num_tokens * i // len(steps)
                child = Node(node, step, node.path + (len(node.children),), tokens)
                node.children[step] = child
                if i == len(steps) - 1:
                    child.finish_reason = self._finish_reason(child, sample, to_end)
            node = child
        return node

    def _finish_reason(self, node: Node, sample: Sample, to_end: bool) -> str | None:
        if to_end or sample.finish_reason == "length":
            return sample.finish_reason
        if not sample.text.endswith(self.lm.card.step_separator):
            return "stop"
        return "length" if node.depth >= self.options.depth else None

    async def _draw(self, node: Node, n: int, to_end: bool) -> list[Sample]:
        """n samples at `node`; the draw's seeds depend on the node and on how often it was drawn from before."""
        card, options = self.lm.card, self.options
        spent = sum(member.num_tokens for member in node.lineage())
        left = max(1, options.max_new_tokens - spent)
        sampling = Sampling(
            temperature=options.temperature,
            top_p=options.top_p,
            top_k=options.top_k,
            max_tokens=left if to_end else min(left, options.max_step_tokens),
            stop=card.stop if to_end else (card.step_separator, *card.stop),
        )
        clone, node.draws = node.draws, node.draws + 1
        seeds = [draw_seed(options.seed, self.problem.id, node.path, clone, i) for i in range(n)]
        return await self.lm.generate(self.prompt + "".join(node.steps()), sampling, seeds, self.ledger)

    async def _score(self, solutions: list[list[str]]) -> Sequence[Sequence[float]]:
        """One score a step; a solution without steps has none and is not sent."""
        if self.rm is None:
            return [[0.0] * len(steps) for steps in solutions]
        sent = [steps for steps in solutions if steps]
        scores = iter(await self.rm.score(self.problem, sent, self.ledger) if sent else [])
        return [next(scores) if steps else [] for steps in solutions]

    def _collect(
        self, steps: Sequence[str], scores: Sequence[float], num_tokens: int, finish_reason: str, search_tokens: int
    ) -> None:
        answer = self.task.extract("".join(steps))
        known = tuple(scores) if self.rm is not None else None
        self._solutions.append(Solution(tuple(steps), known, answer, num_tokens, finish_reason, search_tokens))
