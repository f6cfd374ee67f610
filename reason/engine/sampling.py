"""Drawing the next tokens of many samples at once, each from its own seed.

A draw is a function of (logits, temperature, top_p, top_k, seed, index of the token) alone: the uniform number comes
from a hash and not from a generator's state, so a sample does not depend on what shares its batch.
"""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

IN_CACHE = 1 << 17  # numbers of 4 bytes: half a megabyte, of which two or three are in use at a time
GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014), uint64 to uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniforms(seeds: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1), float64 [batch], from seeds uint64 [batch] and token indices int64 [batch]."""
    with np.errstate(over="ignore"):
        bits = _mix(_mix(seeds) + GOLDEN * (indices.astype(np.uint64) + np.uint64(1)))
    return (bits >> np.uint64(11)) * 2.0**-53


def lowest_kept(logits: torch.Tensor, top_p: torch.Tensor, top_k: torch.Tensor) -> torch.Tensor:
    """The lowest logit [batch] that stays of logits [batch, vocabulary]: in the top k and, of those, in the nucleus.

    top_p [batch] in (0, 1], 1 is off; top_k [batch], below 1 is off. Tokens tied with the last one kept stay.
    """
    vocabulary = logits.shape[-1]
    ordered = logits.sort(dim=-1, descending=True).values
    k = torch.where(top_k < 1, vocabulary, top_k).clamp(max=vocabulary)
    lowest = ordered.gather(-1, k[:, None] - 1)
    probabilities = ordered.masked_fill(ordered < lowest, -torch.inf).softmax(-1)
    before = probabilities.cumsum(-1) - probabilities  # mass of the better tokens
    kept = ((before < top_p[:, None]) | (top_p[:, None] >= 1)).sum(-1, keepdim=True)
    return torch.maximum(lowest, ordered.gather(-1, (kept - 1).clamp(min=0)))[:, 0]


def draw(
    logits: torch.Tensor,
    temperature: torch.Tensor,
    top_p: torch.Tensor,
    top_k: torch.Tensor,
    uniform: torch.Tensor,
    row: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token and its log-probability a sample: (int64 [samples], float [samples]).

    logits float32 [rows, vocabulary]; temperature [rows], 0 is greedy; top_p and top_k [rows] as in `lowest_kept`;
    uniform float64 [samples] in [0, 1), inverted through the cumulated distribution of the sample's row, int64
    [samples]. The log-probability is of the distribution drawn from; a greedy one is of the model's own distribution.

    The inversion has two levels: first among sums of runs of tokens, then among the tokens of one run. What is as
    large as the logits is made of few rows at a time, so that it stays in a core's own cache: writing and reading it in
    memory would take ten times as long, most of all while other processes do.
    """
    rows, vocabulary = logits.shape
    greedy = temperature == 0
    scale = torch.where(greedy, 1.0, temperature)[:, None]
    length = 1 << round(math.log2(vocabulary) / 2)  # of a run
    runs = -(-vocabulary // length)
    least = torch.full((rows,), -torch.inf, device=logits.device)  # a sampled token has at least this logit, scaled
    top = torch.empty_like(least)
    best = torch.zeros(rows, dtype=torch.int64, device=logits.device)
    mass = torch.empty((rows, runs), dtype=torch.float64, device=logits.device)  # sums of exp(logit - top)
    truncated = bool(((top_p < 1) | (top_k > 0)).any())
    some_greedy = bool(greedy.any())
    together = max(1, IN_CACHE // vocabulary) if logits.device.type == "cpu" else rows
    for part in (slice(first, first + together) for first in range(0, rows, together)):
        scaled = logits[part] / scale[part]
        if truncated:
            off = greedy[part]
            own = torch.where(off, 1.0, top_p[part]), torch.where(off, -1, top_k[part])
            least[part] = lowest_kept(scaled, *own)
            scaled = scaled.masked_fill_(scaled < least[part, None], -torch.inf)
        if some_greedy:
            best[part] = logits[part].argmax(-1)
        top[part] = scaled.amax(-1)
        weights = F.pad(scaled.sub_(top[part, None]).exp_(), (0, runs * length - vocabulary))
        mass[part] = weights.unflatten(-1, (runs, length)).sum(-1, dtype=torch.float64)

    cumulated = mass.cumsum(-1)
    run, rest = _invert(cumulated[row], uniform * cumulated[row, -1])
    ids = run[:, None] * length + torch.arange(length, device=logits.device)
    scaled = logits[row[:, None], ids.clamp(max=vocabulary - 1)] / scale[row]
    outside = (ids >= vocabulary) | (scaled < least[row, None])
    weights = (scaled - top[row, None]).masked_fill_(outside, -torch.inf).exp_()
    within, _ = _invert(weights.cumsum(-1, dtype=torch.float64), rest)
    drawn = (run * length + within).clamp(max=vocabulary - 1)
    tokens = torch.where(greedy[row], best[row], drawn)
    logprobs = logits[row, tokens] / scale[row, 0] - top[row] - cumulated[row, -1].log()
    return tokens, logprobs.float()


def _invert(cumulated: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Where cumulated [n, m] first exceeds target [n], int64 [n], and by how much the target is past what is before."""
    target = torch.minimum(target, torch.nextafter(cumulated[:, -1], torch.zeros_like(target)))  # against rounding
    index = torch.searchsorted(cumulated, target[:, None], right=True).clamp(max=cumulated.shape[1] - 1)
    before = torch.where(index > 0, cumulated.gather(1, (index - 1).clamp(min=0)), 0.0)
    return index[:, 0], target - before[:, 0]
