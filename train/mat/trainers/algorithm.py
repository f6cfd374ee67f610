"""What every algorithm can be told, and what an algorithm is: advantages from rewarded solutions.

Imports nothing heavy: the command line is made of these classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from reason.common.errors import UserError
from reason.common.options import check, option

if TYPE_CHECKING:
    from torch import Tensor

    from train.mat.buffers.rollout import Rollout


@dataclass(frozen=True)
class Algorithm:
    """Options of all algorithms. A unit is what has one probability ratio and one advantage: see losses.py."""

    needs_critic: ClassVar[bool] = False
    compares: ClassVar[bool] = False  # the solutions of a question with each other
    usual_ratio: ClassVar[str] = "token"
    ratios: ClassVar[tuple[str, ...]] = ("token", "step", "sequence")  # that it can have
    usual_aggregation: ClassVar[str] = "token"

    ppo_epoch: int = option(1, "passes over a batch", least=1)
    num_mini_batch: int = option(1, "optimizer steps of a pass", least=1)
    max_grad_norm: float = option(1.0, "gradients are clipped to this norm", above=0)
    clip_param: float = option(0.2, "of the probability ratio", least=0)
    clip_high: float | None = option(None, "its upper bound where that differs, such as 0.28 (clip-higher)", least=0)
    ratio: str | None = option(
        None,
        "what has one ratio; default: step for APPO, sequence for RLOO, else token; GRPO with sequence and "
        "--mean_ratio is GSPO",
        choices=("token", "step", "sequence"),
    )
    mean_ratio: bool = option(False, "divide log-ratios by length", switch=True)
    aggregation: str | None = option(
        None, "of the loss; default: token, for GRPO and RLOO sequence", choices=("token", "sequence", "constant")
    )
    kl_coef: float = option(0.0, "of the KL to the first policy", least=0)
    kl_in: str = option("loss", "where the KL is taken off", choices=("loss", "reward"))
    kl_estimator: str | None = option(
        None, "of the KL; default: k3 in the loss, k1 in the reward", choices=("k1", "k2", "k3")
    )
    entropy_coef: float = option(0.0, "of the entropy, which is added", least=0)
    importance_cap: float = option(2.0, "of trainer against sampler; 0: no correction", least=0)

    def __post_init__(self) -> None:
        check(self)
        if self.ratio is not None and self.ratio not in self.ratios:
            raise UserError(f"{type(self).__name__} has --ratio {' or '.join(self.ratios)}")
        if (self.kl_in == "reward") != (self.estimator == "k1"):
            raise UserError(
                "the KL is k1 in the reward, and k2 or k3 in the loss, where k1 has no gradient in expectation"
            )

    @property
    def unit(self) -> str:
        """What has one ratio."""
        return self.ratio or self.usual_ratio

    @property
    def weighing(self) -> str:
        """How units weigh in the loss."""
        return self.aggregation or self.usual_aggregation

    @property
    def estimator(self) -> str:
        """Of the KL."""
        return self.kl_estimator or ("k3" if self.kl_in == "loss" else "k1")

    @property
    def clip_bounds(self) -> tuple[float, float]:
        """Below and above a ratio of 1."""
        return self.clip_param, self.clip_param if self.clip_high is None else self.clip_high

    @property
    def kl_in_reward(self) -> bool:
        """Whether rewards are less the KL."""
        return self.kl_in == "reward" and self.kl_coef > 0

    def credited(self, rollouts: Sequence[Rollout]) -> list[Rollout]:
        """The solutions with their advantages, one a unit, and with a critic their returns."""
        raise NotImplementedError

    def rewards_less_kl(self, rollout: Rollout) -> Tensor:
        """[steps], the step rewards; less k1 of their tokens where the KL is in the reward."""
        if not self.kl_in_reward:
            return rollout.rewards
        assert rollout.old_logprobs is not None and rollout.reference_logprobs is not None
        return rollout.rewards - self.kl_coef * rollout.sum_by_step(rollout.old_logprobs - rollout.reference_logprobs)


@dataclass(frozen=True)
class ActorCritic(Algorithm):
    """Options of algorithms with a critic."""

    needs_critic: ClassVar[bool] = True

    critic: str | None = option(
        None, "a copy of the policy, or a head on the policy's hidden states; default: own, with --lora_r shared",
        choices=("own", "shared"),
    )  # fmt: skip
    critic_lr: float = option(1e-5, "learning rate of the critic", above=0)
    gamma: float = option(1.0, "discount from step to step", least=0, most=1)
    gae_lambda: float = option(0.95, "of advantages, from step to step", least=0, most=1)
    value_clip: float = option(0.2, "values are kept so near to the old ones; 0: they are free", least=0)
    value_loss_coef: float = option(1.0, "of the critic's loss", least=0)
    huber_delta: float = option(10.0, "error from which on the critic's loss is linear", above=0)
