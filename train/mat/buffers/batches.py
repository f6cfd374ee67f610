"""From solutions to mini-batches, and from these to forward passes of a bounded number of tokens."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from reason.engine.plan import batches
from train.core.plan import Pass
from train.mat.buffers.rollout import Rollout


@dataclass(frozen=True)
class RolloutPass(Pass):
    """One forward pass over solutions; its places are where their tokens are predicted, one before their own."""

    last: Tensor  # [rows], position of each solution's last token
    rollouts: list[Rollout]

    def split(self, of_tokens: Tensor) -> list[Tensor]:
        """[tokens] of the pass as one tensor a solution."""
        return list(of_tokens.split([len(rollout.token_ids) for rollout in self.rollouts]))


def minibatches(rollouts: Sequence[Rollout], count: int, seed: str) -> list[list[Rollout]]:
    """The solutions, shuffled by `seed` and dealt out to `count` batches as evenly as can be; none is empty."""
    if count == 1:
        return [list(rollouts)]
    order = list(range(len(rollouts)))
    random.Random(seed).shuffle(order)
    return [[rollouts[i] for i in part] for first in range(count) if (part := order[first::count])]


def alike(rollouts: Sequence[Rollout]) -> list[list[Rollout]]:
    """Solutions of one question together of which all is the same that bears on what is learnt."""
    found: dict[tuple, list[Rollout]] = {}
    for one in rollouts:
        learnt = [tuple(numbers.tolist()) for numbers in (one.advantages, one.returns) if numbers is not None]
        key = (one.group, tuple(one.token_ids), tuple(one.ends), one.sampled_logprob, *learnt)
        found.setdefault(key, []).append(one)
    return list(found.values())


def passes(rollouts: Sequence[Rollout], token_budget: int, device: torch.device) -> list[RolloutPass]:
    """Forward passes of solutions of like length, of at most `token_budget` padded tokens where more than one."""
    plan = batches([rollout.length for rollout in rollouts], token_budget)
    return [collate([rollouts[i] for i in part], device) for part in plan]


def collate(rollouts: list[Rollout], device: torch.device) -> RolloutPass:
    """One forward pass."""
    ids = torch.zeros(len(rollouts), max(rollout.length for rollout in rollouts), dtype=torch.long)
    rows, positions = [], []
    for row, rollout in enumerate(rollouts):
        before, number = len(rollout.prompt_ids), len(rollout.token_ids)
        ids[row, : rollout.length] = torch.tensor(rollout.prompt_ids + rollout.token_ids)
        rows.append(torch.full((number,), row))
        positions.append(torch.arange(before - 1, before - 1 + number))
    last = torch.tensor([rollout.length - 1 for rollout in rollouts])
    tensors = [tensor.to(device) for tensor in (ids, torch.cat(rows), torch.cat(positions), last)]
    return RolloutPass(tensors[0], tensors[1], tensors[2], tensors[3], rollouts)
