"""Generalised advantage estimation (Schulman et al., 2016, equations 11 to 16) over steps and over tokens.

    delta_t = r_t + gamma b_t V(s_{t+1}) - V(s_t)
    A_t     = delta_t + gamma lambda m_t A_{t+1}

b_t = 0 at a termination, where nothing comes after; m_t = 0 at a termination and at a truncation, because what was
sampled ends there. At a truncation V(s_{t+1}) is the value of the true next state (Pardo et al., 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from train.mat.buffers.rollout import Rollout

EPS = 1e-8


def gae(
    rewards: Tensor, values: Tensor, last_value: Tensor | float, terminated: bool, gamma: float, lam: float
) -> Tensor:
    """Advantages [T] of one episode.

    rewards [T]; values [T], V of the states in which its actions were taken; last_value, V of the state that the last
    action led to, which counts unless the episode `terminated` there.
    """
    factors = torch.full_like(rewards, gamma * lam)
    return _sweep(_deltas(rewards, values, last_value, terminated, torch.full_like(rewards, gamma)), factors)


def token_gae(
    rewards: Tensor,
    values: Tensor,
    last_value: Tensor | float,
    terminated: bool,
    step_ends: Sequence[int],
    gamma: float,
    lam: float,
    token_lam: float,
) -> Tensor:
    """Advantages [tokens] of one episode in which time passes from step to step, not from token to token.

    Inside a step neither gamma nor `lam` applies: there delta = r + V' - V and A = delta + token_lam A'. Over the end
    of a step both do. rewards, values [tokens], values of the states before each token; step_ends: tokens up to the end
    of each step, the last one being all.
    """
    discount, factors = torch.ones_like(rewards), torch.full_like(rewards, token_lam)
    ends = torch.tensor(step_ends, device=rewards.device) - 1
    discount[ends], factors[ends] = gamma, gamma * lam
    return _sweep(_deltas(rewards, values, last_value, terminated, discount), factors)


def on_last_tokens(rollout: Rollout) -> Tensor:
    """[tokens], the reward of each step on its last token."""
    rewards = torch.zeros(len(rollout.token_ids))
    rewards[torch.tensor(rollout.ends) - 1] = rollout.rewards
    return rewards


def normalised_over_all(rollouts: Sequence[Rollout]) -> list[Rollout]:
    """Advantages of mean 0 and standard deviation 1 over all units of the batch."""
    flat = torch.cat([rollout.advantages for rollout in rollouts])
    scale = flat.std(correction=0) + EPS
    return [replace(rollout, advantages=(rollout.advantages - flat.mean()) / scale) for rollout in rollouts]


def _deltas(rewards: Tensor, values: Tensor, last_value: Tensor | float, terminated: bool, discount: Tensor) -> Tensor:
    following = torch.cat([values[1:], torch.as_tensor(last_value).to(values).reshape(1)])
    if terminated:
        following[-1] = 0.0
    return rewards + discount * following - values


def _sweep(deltas: Tensor, factors: Tensor) -> Tensor:
    """A_t = delta_t + factor_t A_{t+1}, from behind."""
    advantages, ahead = torch.zeros_like(deltas), torch.zeros((), dtype=deltas.dtype, device=deltas.device)
    for t in range(len(deltas) - 1, -1, -1):
        ahead = deltas[t] + factors[t] * ahead
        advantages[t] = ahead
    return advantages
