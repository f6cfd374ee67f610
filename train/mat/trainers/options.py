"""What the algorithms can be told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """Of an algorithm; see the files beside this one for the formulas."""

    gamma: float = 1.0
    gae_lambda: float = 0.95  # from step to step
    token_lambda: float = 1.0  # TPPO: from token to token inside a step
    clip_low: float = 0.2
    clip_high: float = 0.2
    ratio: str = "token"  # what has one ratio: losses.RATIOS
    mean_ratio: bool = False  # divide a unit's log-ratio by its length
    aggregation: str = "token"  # losses.AGGREGATIONS
    constant: int = 1  # of aggregation "constant": most units of a sequence
    supervision: str = "outcome"  # GRPO: "outcome" | "process"
    by_std: bool = True  # GRPO: divide by the group's standard deviation
    kl_coef: float = 0.0
    kl_in: str = "loss"  # "reward" | "loss"
    kl_estimator: str = "k3"  # k1 in the reward; k2 or k3 in the loss
    entropy_coef: float = 0.0
    value_clip: float = 0.2
    huber_delta: float = 10.0
    value_loss_coef: float = 1.0
    importance_cap: float = 2.0  # of trainer against sampler; 0 is off
    epochs: int = 1
    minibatches: int = 1
    max_grad_norm: float = 1.0
