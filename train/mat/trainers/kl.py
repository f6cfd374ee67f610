"""Estimators of KL(pi || ref) at sampled tokens (Schulman, 2020, "Approximating KL divergence").

    k1 = log pi - log ref                  unbiased; for the reward
    k2 = (log pi - log ref)^2 / 2          for the loss: its gradient on samples of pi is that of the KL
    k3 = ref / pi - 1 - log(ref / pi)      as a value unbiased and never negative; its gradient alone is that of another
                                           divergence, so as a loss it is weighted by pi / pi_old

The gradient of k1 is zero in expectation, so it is no loss (Tang and Munos, 2025).
"""

from __future__ import annotations

from torch import Tensor


def k1(logprobs: Tensor, reference: Tensor) -> Tensor:
    """Any shape, elementwise."""
    return logprobs - reference


def k2(logprobs: Tensor, reference: Tensor) -> Tensor:
    """Any shape, elementwise."""
    return (logprobs - reference) ** 2 / 2


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """Any shape, elementwise."""
    log_ratio = reference - logprobs
    return log_ratio.exp() - 1 - log_ratio


def in_loss(name: str, logprobs: Tensor, old: Tensor, reference: Tensor) -> Tensor:
    """The term of the loss of each token; tokens were sampled from the policy with log-probabilities `old`."""
    if name == "k2":
        return k2(logprobs, reference)
    return (logprobs - old).exp() * k3(logprobs, reference)
