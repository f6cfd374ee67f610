"""APPO: PPO over steps. An action is a whole step, whose probability is the product of its tokens' probabilities.

    A_t = GAE over steps of the step rewards and V(s_t), the critic's value of question and steps before t
    L   = -mean_t min(rho_t A_t, clip(rho_t) A_t),  rho_t = pi(step_t | s_t) / pi_old(step_t | s_t)

Advantages are normalised over the whole batch (`normalise`); returns A_t + V(s_t), which the critic learns, are not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from train.mat.buffers.rollout import Rollout
from train.mat.trainers.gae import gae
from train.mat.trainers.kl import k1
from train.mat.trainers.options import Options

EPS = 1e-8


def advantages(rollouts: Sequence[Rollout], options: Options) -> None:
    """Set advantages and returns [steps] of each solution."""
    for one in rollouts:
        assert one.values is not None
        values = one.values[one.starts]
        rewards = rewards_less_kl(one, options)
        one.advantages = gae(rewards, values, one.last_value, one.terminated, options.gamma, options.gae_lambda)
        one.returns = one.advantages + values
    normalise(rollouts)


def rewards_less_kl(one: Rollout, options: Options) -> Tensor:
    """[steps], the step rewards; less k1 of their tokens where the KL is in the reward."""
    if options.kl_in != "reward" or not options.kl_coef:
        return one.rewards
    return one.rewards - options.kl_coef * one.sum_by_step(k1(one.old_logprobs, one.reference_logprobs))


def normalise(rollouts: Sequence[Rollout]) -> None:
    """Advantages of mean 0 and standard deviation 1 over all units of the batch."""
    flat = torch.cat([one.advantages for one in rollouts])
    scale = flat.std(correction=0) + EPS
    for one in rollouts:
        one.advantages = (one.advantages - flat.mean()) / scale
