"""Rewards of solutions: the PRM's process rewards, the grader's outcome, form and length, added by their weights.

The reward of a step is `process` times its credit (credit.py). The last step gets, on top, the outcome, the
price of an answer that cannot be read, and the price of length (soft overlong punishment; Yu et al., 2025).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace

import torch

from reason.inference.base import ModelError, RewardModel
from reason.inference.ledger import Ledger
from train.mat.arguments import RewardOptions
from train.mat.buffers.rollout import Rollout
from train.mat.runner.credit import CREDITS

LOG = logging.getLogger(__name__)


async def scored(rollouts: Sequence[Rollout], rm: RewardModel) -> list[Rollout]:
    """The solutions with their step scores; those that have none are left out, and how many is said.

    Raises ModelError where none of them could be scored. Equal solutions of a question are scored once. One without
    any text is no work for a PRM: its one empty step scores 0, the least of a probability.
    """
    keys = [(rollout.problem.id, *(step.text for step in rollout.steps)) for rollout in rollouts]
    written = {key: rollout for key, rollout in zip(keys, rollouts, strict=True) if rollout.text.strip()}
    answers = await asyncio.gather(*(_scores_of(rollout, rm) for rollout in written.values()))
    scores = dict(zip(written, answers, strict=True))
    errors = [answer for answer in answers if isinstance(answer, ModelError)]
    if errors and len(errors) == len(written):
        raise ModelError(f"the PRM scored none of {len(rollouts)} solutions: {errors[0]}")
    found = []
    for key, rollout in zip(keys, rollouts, strict=True):
        own = scores.get(key, [0.0] * len(rollout.steps))
        if not isinstance(own, ModelError):
            found.append(replace(rollout, scores=list(own)))
    if errors:
        lost = len(rollouts) - len(found)
        LOG.warning("%d of %d solutions have no PRM score and are left out: %s", lost, len(rollouts), errors[0])
    return found


async def _scores_of(rollout: Rollout, rm: RewardModel) -> list[float] | ModelError:
    """Its scores, or what went wrong."""
    try:
        [scores] = await rm.score(rollout.problem, [[step.text for step in rollout.steps]], Ledger())
    except ModelError as error:
        return error
    return list(scores)


def rewarded(rollout: Rollout, options: RewardOptions, longest: int) -> Rollout:
    """The solution with its step rewards [steps]; `longest`: tokens from which on length costs all."""
    rewards = torch.zeros(len(rollout.steps))
    if options.process_weight:
        rewards += options.process_weight * CREDITS[options.credit](torch.tensor(rollout.scores))
    rewards[-1] += options.outcome_weight * rollout.outcome
    if rollout.terminated and rollout.answer is None:
        rewards[-1] -= options.format_weight
    free = int(options.length_from * longest)
    over = (len(rollout.token_ids) - free) / max(longest - free, 1)
    rewards[-1] -= options.length_weight * min(max(over, 0.0), 1.0)
    return replace(rollout, rewards=rewards)
