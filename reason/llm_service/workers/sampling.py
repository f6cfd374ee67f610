"""Drawing the next tokens of many samples at once, each from its own seed.

A draw is a function of (logits, temperature, top_p, top_k, seed, index of the token) alone: the uniform number comes
from a hash and not from a generator's state, so a sample does not depend on what shares its batch.
"""

from __future__ import annotations

import numpy as np
import torch

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014), uint64 to uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniforms(seeds: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1), float64 [batch], from seeds uint64 [batch] and token indices uint64 [batch]."""
    with np.errstate(over="ignore"):
        bits = _mix(_mix(seeds) + GOLDEN * (indices + np.uint64(1)))
    return (bits >> np.uint64(11)) * 2.0**-53


def truncate(logits: torch.Tensor, top_p: torch.Tensor, top_k: torch.Tensor) -> torch.Tensor:
    """Logits [batch, vocabulary] with -inf outside the top k and, of what is left, outside the top-p nucleus.

    top_p [batch] in (0, 1], 1 is off; top_k [batch], below 1 is off. Tokens tied with the last one kept stay.
    """
    vocabulary = logits.shape[-1]
    ordered = logits.sort(dim=-1, descending=True).values
    k = torch.where(top_k < 1, vocabulary, top_k).clamp(max=vocabulary)
    lowest = ordered.gather(-1, k[:, None] - 1)
    probabilities = ordered.masked_fill(ordered < lowest, -torch.inf).softmax(-1)
    before = probabilities.cumsum(-1) - probabilities  # mass of the better tokens
    kept = ((before < top_p[:, None]) | (top_p[:, None] >= 1)).sum(-1, keepdim=True)
    lowest = torch.maximum(lowest, ordered.gather(-1, (kept - 1).clamp(min=0)))
    return logits.masked_fill(logits < lowest, -torch.inf)


def draw(
    logits: torch.Tensor,
    temperature: torch.Tensor,
    top_p: torch.Tensor,
    top_k: torch.Tensor,
    uniform: torch.Tensor,
    row: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token and its log-probability a sample: (int64 [samples], float [samples]).

    logits float32 [rows, vocabulary]; temperature [rows], 0 is greedy; top_p and top_k [rows] as in `truncate`; uniform
    float64 [samples] in [0, 1), inverted through the cumulated distribution of the sample's row, int64 [samples]. The
    log-probability is of the distribution drawn from; a greedy one is of the model's own distribution.
    """
    greedy = temperature == 0
    scaled = logits / torch.where(greedy, 1.0, temperature)[:, None]
    if bool(((top_p < 1) | (top_k > 0)).any()):
        scaled = truncate(scaled, torch.where(greedy, 1.0, top_p), torch.where(greedy, -1, top_k))
    logprobs = scaled.log_softmax(-1)
    cumulated = logprobs.double().exp().cumsum(-1)
    drawn = torch.searchsorted(cumulated[row], (uniform * cumulated[row, -1])[:, None], right=True)[:, 0]
    tokens = torch.where(greedy[row], logits.argmax(-1)[row], drawn.clamp(max=logits.shape[-1] - 1))
    return tokens, logprobs[row, tokens]
