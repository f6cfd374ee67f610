"""Log-probabilities of chosen tokens by the distribution that they were sampled from, without keeping its logits."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from reason.engine.sampling import lowest_kept
from reason.inference.base import Sampling

KEPT_LOGITS = 1 << 25  # numbers; up to so many are kept for the backward pass, beyond they are computed twice
CHUNK_LOGITS = 1 << 25  # numbers in memory at once, 128 MiB of fp32


def chosen_logprobs(
    hidden: Tensor, head: Callable[[Tensor], Tensor], targets: Tensor, sampling: Sampling, vocabulary: int
) -> tuple[Tensor, Tensor]:
    """(log-probability of the target, entropy), fp32 [n], from hidden states [n, size] where targets are predicted.

    Both are of the distribution sampled from: after temperature, top_k and top_p. Only `CHUNK_LOGITS` numbers of
    [n, vocabulary] exist at a time; the backward pass makes them again.
    """
    rows = max(CHUNK_LOGITS // vocabulary, 1)
    if len(targets) * vocabulary <= KEPT_LOGITS or not torch.is_grad_enabled():
        parts = [_of_chunk(h, t, head, sampling) for h, t in zip(hidden.split(rows), targets.split(rows), strict=True)]
    else:
        parts = [
            checkpoint(_of_chunk, h, t, head, sampling, use_reentrant=False)
            for h, t in zip(hidden.split(rows), targets.split(rows), strict=True)
        ]
    logprobs, entropies = zip(*parts, strict=True)
    return torch.cat(logprobs), torch.cat(entropies)


def _of_chunk(
    hidden: Tensor, targets: Tensor, head: Callable[[Tensor], Tensor], sampling: Sampling
) -> tuple[Tensor, Tensor]:
    logits = head(hidden).float() / (sampling.temperature or 1.0)
    if sampling.top_p < 1 or sampling.top_k > 0:
        logits = logits.masked_fill(_left_out(logits.detach(), targets, sampling), -torch.inf)
    logprobs = logits.log_softmax(-1)
    entropy = -(logprobs.exp() * logprobs.masked_fill(logprobs.isneginf(), 0.0)).sum(-1)
    return logprobs.gather(-1, targets[:, None])[:, 0], entropy


def _left_out(logits: Tensor, targets: Tensor, sampling: Sampling) -> Tensor:
    """The tokens [n, vocabulary] that truncation leaves out; never a target.

    A target was sampled, so it was inside then. A policy that has moved on may have it outside by now, which would
    make its probability 0 and its gradient nothing.
    """
    top_p = logits.new_full((len(logits),), sampling.top_p)
    top_k = torch.full((len(logits),), sampling.top_k, device=logits.device)
    left_out = logits < lowest_kept(logits, top_p, top_k)[:, None]
    return left_out.scatter(-1, targets[:, None], False)
