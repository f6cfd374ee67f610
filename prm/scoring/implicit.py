"""Implicit PRMs: a step's score is how much more likely its tokens are to one LM than to its reference.

Yuan et al., 2024 (Free Process Rewards without Process Labels): with r(y) = beta log(pi(y) / pi_ref(y)) as the
outcome's reward, q_t = sum over i <= t of beta log(pi(y_i | y_<i) / pi_ref(y_i | y_<i)) is the value after token t
and the sum over a step's own tokens is its reward.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from prm.scoring.layout import Layout
from reason.common.errors import UserError
from reason.model_cards.card import PRMCard

CHUNK = 256  # positions whose logits over the whole vocabulary are in memory at a time


def check(model: Any, reference: Any, card: PRMCard) -> None:
    """Raise UserError where the card or the pair of models cannot give log-ratios."""
    if card.meaning not in ("advantage", "log_ratio"):
        raise UserError(
            f"card {card.name!r}: with head implicit, meaning is advantage (each step's own sum) or log_ratio (the "
            f"sum over all steps so far), not {card.meaning!r}"
        )
    sizes = [m.get_output_embeddings().weight.shape[0] for m in (model, reference)]
    if sizes[0] != sizes[1]:
        raise UserError(f"card {card.name!r}: the model has {sizes[0]} tokens, its reference_model {sizes[1]}")


def log_ratios(model: Any, reference: Any, card: PRMCard, ids: Tensor, layouts: Sequence[Layout]) -> list[list[float]]:
    """Scores of inputs whose tokens, padded on the right, are `ids` [batch, length].

    Tokens of steps are counted from each layout's `start`; `meaning` advantage gives each step's own sum, log_ratio
    the sum over all steps up to it.
    """
    ends = [layout.positions[-1] + 1 for layout in layouts]
    counts = [end - layout.start for end, layout in zip(ends, layouts, strict=True)]
    rows = torch.arange(len(layouts)).repeat_interleave(torch.tensor(counts)).to(ids.device)
    places = torch.cat([torch.arange(layout.start, end) for layout, end in zip(layouts, ends, strict=True)])
    places = places.to(ids.device)
    chosen = ids[rows, places]
    ratio = _log_probabilities(model, ids, rows, places, chosen)
    ratio -= _log_probabilities(reference, ids, rows, places, chosen)
    scores = []
    for layout, own in zip(layouts, ratio.double().cpu().split(counts), strict=True):
        sums = torch.cat([torch.zeros(1, dtype=torch.float64), own.cumsum(0)])
        values = [card.beta * sums[position + 1 - layout.start].item() for position in layout.positions]
        steps = values if card.meaning == "log_ratio" else [b - a for a, b in pairwise([0.0, *values])]
        scores.append(steps)
    return scores


def _log_probabilities(model: Any, ids: Tensor, rows: Tensor, places: Tensor, chosen: Tensor) -> Tensor:
    """log P [n], in fp32, of the tokens `chosen` at (rows, places), each given those before it."""
    hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state[rows, places - 1]
    output = model.get_output_embeddings()
    return torch.cat(
        [
            output(part).float().log_softmax(-1).gather(1, tokens[:, None])[:, 0]
            for part, tokens in zip(hidden.split(CHUNK), chosen.split(CHUNK), strict=True)
        ]
    )
