"""A policy and a critic that are tables, and solutions by hand: what an algorithm does can be computed beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from envs.base_env import Problem
from train.core.update import Learner
from train.mat.buffers.batches import RolloutPass
from train.mat.buffers.rollout import Rollout
from train.mat.buffers.steps import Step
from train.mat.runner.checkpoint import load_state
from train.mat.trainers import ALGORITHMS
from train.mat.trainers.trainer import Trainer

QUESTION, RIGHT, WRONG = 0, 1, 2  # tokens


class TablePolicy:
    """pi(token | the token before) = softmax of a row of `logits`; a `Policy` as far as the trainer knows one."""

    device = torch.device("cpu")

    def __init__(self, size: int = 3, seed: int = 0) -> None:
        self.logits = nn.Parameter(torch.randn(size, size, generator=torch.Generator().manual_seed(seed)) * 0.1)
        self.reference = self.logits.detach().clone()

    def logprobs(self, one: RolloutPass) -> tuple[Tensor, Tensor]:
        return self._of(self.logits, one)

    def reference_logprobs(self, one: RolloutPass) -> Tensor:
        return self._of(self.reference, one)[0]

    @staticmethod
    def _of(logits: Tensor, one: RolloutPass) -> tuple[Tensor, Tensor]:
        table = logits.log_softmax(-1)[one.input_ids[one.rows, one.positions]]
        return table.gather(-1, one.next_tokens[:, None])[:, 0], -(table.exp() * table).sum(-1)

    def arithmetic(self) -> contextlib.AbstractContextManager:
        return contextlib.nullcontext()

    def trainable(self) -> list[nn.Parameter]:
        return [self.logits]


class TableCritic(nn.Module):
    """V of a state is a number of its last token and of how many tokens there are."""

    def __init__(self, size: int = 3, length: int = 8) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(length, size))

    def forward(self, one: RolloutPass) -> tuple[Tensor, Tensor]:
        rows = torch.arange(len(one.rollouts))
        before = self.table[one.positions, one.input_ids[one.rows, one.positions]]
        return before, self.table[one.last, one.input_ids[rows, one.last]]

    def trainable(self) -> list[nn.Parameter]:
        return [self.table]


def rollout(
    tokens: Sequence[int], ends: Sequence[int], rewards: Sequence[float], group: int = 0, **fields: Any
) -> Rollout:
    """A solution of the question by hand; `ends` are tokens up to the end of each step."""
    steps = [Step(f"step {i}\n", end) for i, end in enumerate(ends)]
    options = {"terminated": True, "outcome": 0.0} | fields
    return Rollout(Problem(f"q{group}", "?", "!"), group, [QUESTION], list(tokens), steps,
                   rewards=torch.tensor(rewards, dtype=torch.float32), **options)  # fmt: skip


def trainer(
    policy: Any, algorithm: str, lr: float = 0.1, token_budget: int = 4096, longest: int = 1, **options: Any
) -> Trainer:
    """With plain gradient descent, so that an update is lr times the gradient; a critic where one is needed."""
    chosen = ALGORITHMS[algorithm](**({"max_grad_norm": 1e9} | options))
    critic: Any = TableCritic() if chosen.needs_critic else None
    return Trainer(policy, critic, chosen, learners(policy, critic, lr, 0.5), token_budget, longest)


def saved_state(run: Path) -> dict[str, Any]:
    """The last checkpoint of a run that has one."""
    state = load_state(run)
    assert state is not None
    return state


def learners(policy: Any, critic: Any, lr: float, critic_lr: float) -> list[Learner]:
    """Plain gradient descent."""
    weights = [("grad_norm", policy.trainable(), lr)]
    if critic is not None:
        weights.append(("critic_grad_norm", critic.trainable(), critic_lr))
    return [Learner(name, found, torch.optim.SGD(found, lr=rate), rate) for name, found, rate in weights]
