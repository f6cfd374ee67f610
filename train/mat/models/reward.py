"""Rewards of solutions: the PRM's process rewards, the grader's outcome, form and length, added by their weights.

The reward of a step is `process` times its credit (trainers/credit.py). The last step gets, on top, the outcome, the
price of an answer that cannot be read, and the price of length (soft overlong punishment; Yu et al., 2025).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from reason.inference.base import ModelError, RewardModel
from reason.inference.ledger import Ledger
from train.mat.buffers.rollout import Rollout
from train.mat.trainers.credit import CREDITS

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RewardOptions:
    """Weights of the parts, and how process rewards come of scores."""

    outcome: float = 1.0
    process: float = 0.0
    format: float = 0.0  # taken off where a finished solution has no answer that can be read
    length: float = 0.0  # taken off at most, for length
    length_from: int = 0  # tokens from which on length costs
    length_full: int = 1  # tokens from which on it costs all
    credit: str = "difference"


async def score(rollouts: Sequence[Rollout], rm: RewardModel) -> list[Rollout]:
    """Give the solutions their step scores; returns those that have them, and says how many have none.

    Raises ModelError where none of them could be scored. Equal solutions of a question are scored once. One without
    any text is no work for a PRM: its one empty step scores 0, the least of a probability.
    """
    written: dict[tuple[str, ...], list[Rollout]] = {}
    for one in rollouts:
        if one.text.strip():
            written.setdefault((one.problem.id, *(step.text for step in one.steps)), []).append(one)
        else:
            one.scores = [0.0] * len(one.steps)
    failed = await asyncio.gather(*(_score_equal(equal, rm) for equal in written.values()))
    errors = [error for error in failed if error is not None]
    if errors and len(errors) == len(written):
        raise ModelError(f"the PRM scored none of {len(rollouts)} solutions: {errors[0]}")
    scored = [one for one in rollouts if one.scores]
    if errors:
        lost = len(rollouts) - len(scored)
        LOG.warning("%d of %d solutions have no PRM score and are left out: %s", lost, len(rollouts), errors[0])
    return scored


async def _score_equal(equal: Sequence[Rollout], rm: RewardModel) -> ModelError | None:
    """Give equal solutions their scores; what went wrong, if anything."""
    first = equal[0]
    try:
        [scores] = await rm.score(first.problem, [[step.text for step in first.steps]], Ledger())
    except ModelError as error:
        return error
    for one in equal:
        one.scores = list(scores)
    return None


def reward(one: Rollout, options: RewardOptions) -> None:
    """Set the step rewards [steps] of a solution."""
    rewards = torch.zeros(len(one.steps))
    if options.process:
        rewards += options.process * CREDITS[options.credit](torch.tensor(one.scores))
    rewards[-1] += options.outcome * one.outcome
    if one.terminated and one.answer is None:
        rewards[-1] -= options.format
    over = (len(one.token_ids) - options.length_from) / max(options.length_full - options.length_from, 1)
    rewards[-1] -= options.length * min(max(over, 0.0), 1.0)
    one.rewards = rewards
