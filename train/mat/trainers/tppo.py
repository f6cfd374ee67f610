"""TPPO: PPO over tokens (Schulman et al., 2017) with the reward of a step on its last token.

Values, advantages and ratios are of tokens. `gamma` and `gae_lambda` apply from step to step, `token_lambda` from token
to token inside a step (`gae.token_gae`), so that a long step is not discounted for its length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from reason.common.options import option
from train.mat.trainers.algorithm import ActorCritic

if TYPE_CHECKING:
    from train.mat.buffers.rollout import Rollout


@dataclass(frozen=True)
class TPPO(ActorCritic):
    """PPO over tokens."""

    ratios: ClassVar[tuple[str, ...]] = ("token",)

    token_lambda: float = option(1.0, "of advantages, inside a step", least=0, most=1)

    def credited(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """The solutions with advantages and returns [tokens]."""
        from train.mat.trainers.gae import normalised_over_all, on_last_tokens, token_gae

        credited = []
        for rollout in rollouts:
            assert rollout.values is not None
            rewards = on_last_tokens(rollout)
            if self.kl_in_reward:
                assert rollout.old_logprobs is not None and rollout.reference_logprobs is not None
                rewards -= self.kl_coef * (rollout.old_logprobs - rollout.reference_logprobs)
            advantages = token_gae(
                rewards, rollout.values, rollout.last_value, rollout.terminated, rollout.ends,
                self.gamma, self.gae_lambda, self.token_lambda,
            )  # fmt: skip
            credited.append(replace(rollout, advantages=advantages, returns=advantages + rollout.values))
        return normalised_over_all(credited)
