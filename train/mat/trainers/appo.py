"""APPO: PPO over steps. An action is a whole step, whose probability is the product of its tokens' probabilities.

    A_t = GAE over steps of the step rewards and V(s_t), the critic's value of question and steps before t
    L   = -mean_t min(rho_t A_t, clip(rho_t) A_t),  rho_t = pi(step_t | s_t) / pi_old(step_t | s_t)

Advantages are normalised over the whole batch; returns A_t + V(s_t), which the critic learns, are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from train.mat.trainers.algorithm import ActorCritic

if TYPE_CHECKING:
    from train.mat.buffers.rollout import Rollout


@dataclass(frozen=True)
class APPO(ActorCritic):
    """PPO over steps."""

    usual_ratio: ClassVar[str] = "step"
    ratios: ClassVar[tuple[str, ...]] = ("step",)

    def credited(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """The solutions with advantages and returns [steps]."""
        from train.mat.trainers.gae import gae, normalised_over_all

        credited = []
        for rollout in rollouts:
            assert rollout.values is not None
            values = rollout.values[rollout.starts]
            advantages = gae(
                self.rewards_less_kl(rollout), values, rollout.last_value, rollout.terminated, self.gamma,
                self.gae_lambda,
            )  # fmt: skip
            credited.append(replace(rollout, advantages=advantages, returns=advantages + values))
        return normalised_over_all(credited)
