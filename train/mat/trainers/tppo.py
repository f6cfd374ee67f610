"""TPPO: PPO over tokens (Schulman et al., 2017) with the reward of a step on its last token.

Values, advantages and ratios are of tokens. `gamma` and `gae_lambda` apply from step to step, `token_lambda` from token
to token inside a step (`gae.token_gae`), so that a long step is not discounted for its length.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from train.mat.buffers.rollout import Rollout
from train.mat.trainers.appo import normalise
from train.mat.trainers.gae import token_gae
from train.mat.trainers.kl import k1
from train.mat.trainers.options import Options


def advantages(rollouts: Sequence[Rollout], options: Options) -> None:
    """Set advantages and returns [tokens] of each solution."""
    for one in rollouts:
        assert one.values is not None
        rewards = torch.zeros(len(one.token_ids))
        rewards[torch.tensor(one.ends) - 1] = one.rewards
        if options.kl_in == "reward" and options.kl_coef:
            rewards -= options.kl_coef * k1(one.old_logprobs, one.reference_logprobs)
        one.advantages = token_gae(
            rewards, one.values, one.last_value, one.terminated, one.ends,
            options.gamma, options.gae_lambda, options.token_lambda,
        )  # fmt: skip
        one.returns = one.advantages + one.values
    normalise(rollouts)
