"""The loop of policy training: collect solutions, learn from them, judge on held-out questions, keep checkpoints.

With `overlap` the solutions of update t + 1 are sampled while update t is learnt from, so by the weights before update
t, which are one step behind those that learn from them. Each solution y counts min(pi_now(y) / pi_sampled(y), cap)
times in the policy's loss (losses.importance_weights; Yao et al., 2025; as stale actors are corrected in IMPALA,
Espeholt et al., 2018): without it the gradient would be that of the expected reward under the older policy; the cap
bounds its variance, at the price of a bias for solutions that became more than `cap` times as likely. pi_now is the
trainer's own log-probability before the update, pi_sampled is what the engine told, so that the differences of their
arithmetic are corrected with it. The ratio that is clipped starts at 1 as ever: it is against pi_now. What is not
corrected: solutions that were cut off at --max_steps, whose engine's log-probability is of more than is left of them,
and the values of a critic.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from envs.base_env import Problem
from reason.common.errors import RunError
from train.core.sharding import gathered, load_optimizer
from train.core.update import rate_share
from train.mat.arguments import LearningOptions, RunOptions
from train.mat.buffers.rollout import Rollout, restored
from train.mat.runner.checkpoint import save_policy, save_state
from train.mat.runner.collect import Collector
from train.mat.runner.guards import Guards
from train.mat.runner.log import RunLog
from train.mat.trainers.trainer import Trainer

LOG = logging.getLogger(__name__)


@dataclass
class Runner:
    """One run. `restore` it before `train` to go on from a checkpoint."""

    collector: Collector
    trainer: Trainer
    held_out: Sequence[Problem]
    learning: LearningOptions
    options: RunOptions
    folder: Path
    done: int = 0  # updates
    learnt: int = 0  # updates with a gradient
    best: float = -1.0  # held-out accuracy
    spent: float = 0.0  # seconds of the updates that are done
    guards: Guards = field(default_factory=Guards)
    ahead: list[Rollout] | None = None  # sampled already, for the next update
    seconds: dict[str, float] = field(default_factory=dict)  # of the update: sampling, learning

    async def train(self, log: RunLog | None) -> None:
        """All updates that are left. Raises RunError, ModelError; checkpoints stay as they were.

        The first process has the log.
        """
        await self._push()
        if self.done == 0:
            metrics = await self._judge()
            if log is not None:
                log.write(0, metrics)
        while not self._over():
            update, began = self.done + 1, time.monotonic()
            rollouts = self.ahead or await self._sample(update)
            self._set_rates(update)
            metrics = summary(rollouts)
            if self.collector.rollouts.overlap:
                metrics |= await self._learn_and_sample(rollouts, update)
            else:
                metrics |= self._learn(rollouts, update)
            await self._push()
            took = self.collector.processes.gather(time.monotonic() - began)[0]  # all end with the same update
            self.done, self.spent = update, self.spent + took
            self.learnt += metrics["with_gradient"] > 0
            tokens = sum(len(one.token_ids) for one in rollouts)
            metrics |= self.seconds | {"tokens_per_s": tokens / took, "samples_per_s": len(rollouts) / took}
            last = self._over()
            if last or update % self.options.eval_interval == 0:
                metrics |= await self._judge()
            warnings = self.guards.check(metrics)
            if log is not None:
                for warning in warnings:
                    LOG.warning("update %d: %s", update, warning)
                log.write(update, metrics)
            if last or update % self.options.save_interval == 0:
                self.save()

    async def _push(self) -> None:
        """Give the engine the policy's weights and see that it has them. Raises RunError."""
        with self.collector.processes.together():
            await self.collector.lm.push(self.trainer.policy.plain_weights())
        await self.collector.verify(self.held_out[0])

    async def _sample(self, update: int) -> list[Rollout]:
        began, questions = time.monotonic(), self.collector.rollouts.questions
        rollouts = await self.collector.collect((update - 1) * questions, questions)
        if not rollouts:
            raise RunError(f"update {update}: no solution could be graded and scored, so there is no batch")
        self.seconds["seconds_sampling"] = time.monotonic() - began
        return rollouts

    def _learn(self, rollouts: Sequence[Rollout], update: int) -> dict[str, float]:
        began = time.monotonic()
        metrics = self.trainer.learn(rollouts, update)
        self.seconds["seconds_learning"] = time.monotonic() - began
        return metrics

    async def _learn_and_sample(self, rollouts: Sequence[Rollout], update: int) -> dict[str, float]:
        """Learn in a thread while the next update's solutions are sampled. They are sampled behind the last update too:
        a run that is given more updates then goes on as if it had had them from the beginning.
        """
        learning = asyncio.to_thread(self._learn, rollouts, update)
        metrics, ahead = await asyncio.gather(learning, self._sample(update + 1), return_exceptions=True)
        if isinstance(metrics, BaseException):
            raise metrics
        if isinstance(ahead, BaseException):
            raise ahead
        self.ahead = ahead
        return metrics

    def _set_rates(self, update: int) -> None:
        options = self.learning
        behind = 0 if options.lr_schedule == "linear" else None
        for learner in self.trainer.learners:
            learner.set_rate(rate_share(update, options.num_updates, options.warmup_updates, behind))

    def _over(self) -> bool:
        """Whether the last update was the last one of the run."""
        limit = self.learning.max_seconds
        return self.done >= self.learning.num_updates or (limit is not None and self.spent >= limit)

    async def _judge(self) -> dict[str, float]:
        """Greedy accuracy on the held-out questions; the best policy is kept."""
        began = time.monotonic()
        accuracy = await self.collector.accuracy(self.held_out)
        if accuracy > self.best:
            self.best = accuracy
            save_policy(self.trainer.policy, self.folder / "best", self.trainer.processes.first)
        return {"eval_accuracy": accuracy, "seconds_judging": time.monotonic() - began}

    def save(self) -> None:
        """Checkpoint and policy of this moment, by the first process: they are the same in all, or in shards."""
        trainer, writes = self.trainer, self.trainer.processes.first
        weights = {
            "policy": trainer.policy.weights(),
            "critic": trainer.critic.state_dict() if trainer.critic is not None else None,
            "optimizers": [learner.optimizer.state_dict() for learner in trainer.learners],
        }
        state = gathered(weights, writes) | {
            "done": self.done,
            "best": self.best,
            "spent": self.spent,
            "learnt": self.learnt,
            "random": torch.get_rng_state(),
            "guards": asdict(self.guards),
            "ahead": None if self.ahead is None else [asdict(one) for one in self.ahead],
        }
        save_policy(trainer.policy, self.folder / "last", writes)
        if writes:
            save_state(self.folder, self.done, state)

    def restore(self, state: dict) -> None:
        """Take up a checkpoint's state. Raises UserError where it is of another model."""
        trainer = self.trainer
        self.done, self.best, self.spent = state["done"], state["best"], state.get("spent", 0.0)
        self.learnt = state.get("learnt", self.done)
        trainer.policy.restore(state["policy"])
        if trainer.critic is not None:
            trainer.critic.restore(state["critic"])
        for learner, saved in zip(trainer.learners, state["optimizers"], strict=True):
            load_optimizer(learner.optimizer, saved)
        torch.set_rng_state(state["random"])
        self.guards = Guards(**state["guards"])
        self.ahead = None if state["ahead"] is None else [restored(one) for one in state["ahead"]]


def summary(rollouts: Sequence[Rollout]) -> dict[str, float]:
    """Means over the solutions of an update."""

    def mean(values: list[float]) -> float:
        return sum(values) / len(values)

    found = {
        "reward": mean([one.rewards.sum().item() for one in rollouts]),
        "accuracy": mean([one.outcome for one in rollouts]),
        "answered": mean([float(one.answer is not None) for one in rollouts]),
        "truncated": mean([float(not one.terminated) for one in rollouts]),
        "length": mean([float(len(one.token_ids)) for one in rollouts]),
        "steps": mean([float(len(one.steps)) for one in rollouts]),
        "solutions": float(len(rollouts)),
    }
    told = [(one.sampled_logprob, len(one.token_ids)) for one in rollouts if one.sampled_logprob is not None]
    if told:  # -log p of samples, a token: as large as the entropy in expectation, and known of all solutions
        found["entropy"] = -sum(logprob for logprob, _ in told) / sum(tokens for _, tokens in told)
    if rollouts[0].scores:
        found["prm_score"] = mean([score for one in rollouts for score in one.scores])
    return found
