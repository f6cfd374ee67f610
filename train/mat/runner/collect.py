"""From questions to rewarded solutions: sample, cut into steps, play them through the environment, score, reward."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from envs.base_env import Grader, Problem, Task
from envs.mdp import Draws, ReasoningEnv, Transition
from envs.thoughts import opens_thought
from reason.common.seeds import draw_seed
from reason.engine.loading import context_length
from reason.engine.request import encode_prompt
from reason.inference.base import RewardModel, RolloutLM, Sample, Sampling
from reason.inference.ledger import Ledger
from reason.inference.prompting import render
from train.core.processes import ALONE, Processes
from train.mat.agents.policy import Policy
from train.mat.arguments import RewardOptions, RolloutOptions
from train.mat.buffers.rollout import Rollout
from train.mat.buffers.steps import cut_steps
from train.mat.runner.rewards import rewarded, scored
from train.mat.runner.verify import verify

LOG = logging.getLogger(__name__)


@dataclass
class Collector:
    """Everything that solutions come of."""

    task: Task
    draws: Draws
    policy: Policy
    lm: RolloutLM
    grader: Grader
    rm: RewardModel | None
    rewards: RewardOptions
    rollouts: RolloutOptions
    seed: int
    processes: Processes = ALONE

    async def collect(self, first: int, count: int) -> list[Rollout]:
        """`group_size` solutions of each of the draws `first` to `first + count`.

        A function of those numbers, the seed and the weights. Solutions whose answer the grader could not decide, or
        that the PRM could not score, are left out and counted in the log. Raises ModelError, UserError.
        """
        with self.processes.together():
            own = await self._collect(self.processes.share(range(first, first + count)))
        return self.processes.union(own)

    async def _collect(self, draws: Sequence[int]) -> list[Rollout]:
        """The solutions of draws that follow each other."""
        problems = self.draws.take(draws[0], len(draws))
        wanted = [(draw, problem, self._prompt(problem)) for draw, problem in zip(draws, problems, strict=True)]
        groups = await asyncio.gather(*(self._group(draw, problem, ids) for draw, problem, ids in wanted))
        played = [rollout for group in groups for rollout in group]
        rollouts = [rollout for rollout in played if rollout is not None]
        if len(rollouts) < len(played):
            lost = len(played) - len(rollouts)
            LOG.warning("%d of %d answers could not be graded and are left out", lost, len(played))
        if self.rm is not None and self.rewards.process_weight:
            rollouts = await scored(rollouts, self.rm)
        return [rewarded(rollout, self.rewards, self.policy.sampling.max_tokens) for rollout in rollouts]

    async def accuracy(self, problems: Sequence[Problem]) -> float:
        """The share of problems that greedy solutions get right, in [0, 1]."""
        greedy = replace(self.policy.sampling, temperature=0.0, top_p=1.0, top_k=-1)

        async def right(problem: Problem) -> bool:
            ids = self._prompt(problem)
            [sample] = await self.lm.generate(ids, self._fitting(greedy, ids), [0], Ledger())
            answer = self.task.answer(sample.text, self._thinks(problem))
            return answer is not None and (await self.grader.equal(problem.answer, answer)).equal is True

        with self.processes.together():
            own = await asyncio.gather(*map(right, self.processes.share(problems)))
        verdicts = self.processes.union(own)
        return sum(verdicts) / len(verdicts)

    async def verify(self, problem: Problem) -> None:
        """Raises RunError in all processes where an engine does not have the policy's weights."""
        await verify(self.policy, self.lm, problem, self._prompt(problem), self.processes)

    def _thinks(self, problem: Problem) -> bool:
        """Whether the prompt opens a thought, which has to end before there is an answer."""
        return opens_thought(render(self.policy.card, self.task.prompt(problem)))

    def _prompt(self, problem: Problem) -> list[int]:
        return encode_prompt(self.policy.tokenizer, render(self.policy.card, self.task.prompt(problem)))

    def _fitting(self, sampling: Sampling, ids: Sequence[int]) -> Sampling:
        room = context_length(self.policy.causal.config.get_text_config()) - len(ids)
        return replace(sampling, max_tokens=min(sampling.max_tokens, room), stop=self.policy.card.stop)

    async def _group(self, draw: int, problem: Problem, ids: list[int]) -> list[Rollout | None]:
        seeds = [draw_seed(self.seed, problem.id, (draw,), 0, i) for i in range(self.rollouts.group_size)]
        samples = await self.lm.generate(ids, self._fitting(self.policy.sampling, ids), seeds, Ledger())
        return list(await asyncio.gather(*(self._play(draw, problem, ids, sample) for sample in samples)))

    async def _play(self, draw: int, problem: Problem, ids: list[int], sample: Sample) -> Rollout | None:
        """One episode; None where its answer could not be graded."""
        card = self.policy.card
        tokens, longest = list(sample.token_ids), self.rollouts.max_steps or self.task.max_depth
        steps = cut_steps(self.policy.tokenizer, ids, tokens, sample.text, card.step_separator)
        env = ReasoningEnv(self.task, self.draws, card.step_separator, longest, self.grader)
        env.reset(problem)
        transition: Transition | None = None
        for number, step in enumerate(steps, 1):
            transition = await env.step(step.text, sample.finish_reason if number == len(steps) else None)
            if transition.terminated or transition.truncated:
                break
        assert transition is not None
        if transition.reward is None:
            return None
        kept = steps[:number]
        whole = len(kept) == len(steps)
        return Rollout(
            problem, draw, ids, tokens[: kept[-1].end], kept, transition.terminated, transition.reward,
            transition.answer, sample.logprob if whole else None,
        )  # fmt: skip
