"""Attention of tokens that stand in one line but belong to rows of different lengths.

A model's linear layers work token by token, so a line [1, n] of all rows' tokens saves them the rows' padding; only
attention, a small part of the work, folds the line into padded rows and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

ATTENTION = "openr_folded"


class Fold(NamedTuple):
    """How a line of n tokens folds into rows, each padded at its end."""

    rows: int
    length: int  # of the longest
    token: Tensor  # [rows * length] the token of each place; padding has any
    place: Tensor  # [n] the place of each token

    @classmethod
    def of(cls, lengths: Sequence[int], device: torch.device) -> Fold:
        """The fold of rows of so many tokens, which stand in the line row by row."""
        rows, longest = len(lengths), max(lengths)
        place = torch.cat([torch.arange(length) + row * longest for row, length in enumerate(lengths)])
        token = torch.zeros(rows * longest, dtype=torch.long)
        token[place] = torch.arange(len(place))
        return cls(rows, longest, token.to(device), place.to(device))


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *args: Any,
    fold: Fold | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of query [1, heads, n, dim] over key, value [rows, kv heads, length, dim]: [1, n, heads, dim].

    attention_mask [rows, 1, fold.length, length] is added. Without a fold, torch's fused attention as ever.
    """
    if fold is not None:
        folded = query[0].index_select(1, fold.token)  # [heads, rows * length, dim]
        query = folded.unflatten(1, (fold.rows, fold.length)).transpose(0, 1)
    output, _ = sdpa_attention_forward(module, query, key, value, attention_mask, *args, **kwargs)
    if fold is not None:
        output = output.flatten(0, 1).index_select(0, fold.place)[None]
    return output, None


AttentionInterface.register(ATTENTION, attend)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
