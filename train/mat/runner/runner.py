"""The loop of policy training: collect solutions, learn from them, judge on held-out questions, keep checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch

from envs.base_env import Problem
from train.mat.buffers.rollout import Rollout
from train.mat.errors import TrainingError
from train.mat.runner.checkpoint import save_policy, save_state
from train.mat.runner.collect import Collector
from train.mat.runner.guards import Guards
from train.mat.runner.log import RunLog
from train.mat.trainers.trainer import Trainer

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Schedule:
    """Numbers of updates, and the learning rate's course over them."""

    updates: int
    eval_every: int
    save_every: int
    questions: int  # of an update
    rates: tuple[float, ...]  # highest learning rate of each optimizer of the trainer
    warmup: int = 0  # updates until it is reached
    linear: bool = False  # whether it then falls to 0 in a straight line

    def share(self, update: int) -> float:
        """Of the highest learning rate, at an update counted from 1."""
        warm = min(update / self.warmup, 1.0) if self.warmup else 1.0
        return warm * (1 - (update - 1) / self.updates if self.linear else 1.0)


@dataclass
class Runner:
    """One run. `restore` it before `train` to go on from a checkpoint."""

    collector: Collector
    trainer: Trainer
    held_out: Sequence[Problem]
    schedule: Schedule
    folder: Path
    done: int = 0  # updates
    best: float = -1.0  # held-out accuracy
    guards: Guards = field(default_factory=Guards)

    async def train(self, log: RunLog) -> None:
        """All updates that are left. Raises TrainingError, ModelError; checkpoints stay as they were."""
        generator = self.collector.generator
        generator.push()
        if self.done == 0:
            log.write(0, await self._judge())
        while self.done < self.schedule.updates:
            update, began = self.done + 1, time.monotonic()
            rollouts = await self.collector.collect(self.done * self.schedule.questions, self.schedule.questions)
            if not rollouts:
                raise TrainingError(f"update {update}: no solution could be graded and scored, so there is no batch")
            sampled = time.monotonic()
            self._set_rates(update)
            metrics = summary(rollouts) | self.trainer.learn(rollouts, update)
            generator.push()
            self.done, learnt = update, time.monotonic()
            tokens = sum(len(one.token_ids) for one in rollouts)
            metrics |= {
                "seconds_sampling": sampled - began, "seconds_learning": learnt - sampled,
                "tokens_per_s": tokens / (learnt - began), "samples_per_s": len(rollouts) / (learnt - began),
            }  # fmt: skip
            last = update == self.schedule.updates
            if last or update % self.schedule.eval_every == 0:
                metrics |= await self._judge()
            for warning in self.guards.check(metrics):
                LOG.warning("update %d: %s", update, warning)
            log.write(update, metrics)
            if last or update % self.schedule.save_every == 0:
                self.save()

    def _set_rates(self, update: int) -> None:
        for optimizer, rate in zip(self.trainer.optimizers, self.schedule.rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * self.schedule.share(update)

    async def _judge(self) -> dict[str, float]:
        """Greedy accuracy on the held-out questions; the best policy is kept."""
        began = time.monotonic()
        accuracy = await self.collector.accuracy(self.held_out)
        if accuracy > self.best:
            self.best = accuracy
            save_policy(self.trainer.policy, self.folder / "best")
        return {"eval_accuracy": accuracy, "seconds_judging": time.monotonic() - began}

    def save(self) -> None:
        """Checkpoint and policy of this moment."""
        trainer = self.trainer
        state = {
            "done": self.done,
            "best": self.best,
            "policy": trainer.policy.weights(),
            "critic": trainer.critic.state_dict() if trainer.critic is not None else None,
            "optimizers": [o.state_dict() for o in trainer.optimizers],
            "random": torch.get_rng_state(),
            "guards": asdict(self.guards),
        }
        save_policy(trainer.policy, self.folder / "last")
        save_state(self.folder, self.done, state)

    def restore(self, state: dict) -> None:
        """Take up a checkpoint's state. Raises BadInput where it is of another model."""
        trainer = self.trainer
        self.done, self.best = state["done"], state["best"]
        trainer.policy.restore(state["policy"])
        if trainer.critic is not None:
            trainer.critic.load_state_dict(state["critic"])
        for optimizer, saved in zip(trainer.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        torch.set_rng_state(state["random"])
        self.guards = Guards(**state["guards"])


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
    if rollouts[0].scores:
        found["prm_score"] = mean([score for one in rollouts for score in one.scores])
    return found
