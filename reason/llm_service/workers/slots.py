"""Keys and values of many sequences of different lengths, one row each, and the attention that reads them.

Rows are filled from their beginning (padding is behind), so what a row attends to does not depend on the other
rows. A finished row is replaced by the last one: rows in use are always the first ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from transformers import AttentionInterface, DynamicCache, PretrainedConfig
from transformers.cache_utils import Cache

ATTENTION = "openr_slots"
CHUNK = 32  # lengths are rounded up to it: fewer shapes, and sums whose order does not change with the padding


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    blocks: Sequence[tuple[int, int, int]] | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of query [batch, heads, t, dim] over key, value [batch, kv heads, length, dim].

    Returns [batch, t, heads, dim], and no weights.

    A single new token reads its row under `attention_mask` [batch, 1, 1, length] (added); the query heads that share
    a key head are taken as if they were positions, so that keys are not copied. `blocks` are neighbouring rows that
    are shorter than others: first, end, length. Several tokens are a causal prefill.
    """
    batch, heads, tokens, dim = query.shape
    kv_heads = key.shape[1]
    if tokens == 1:
        grouped = query.view(batch, kv_heads, heads // kv_heads, dim)
        parts = [
            F.scaled_dot_product_attention(
                grouped[a:b], key[a:b, :, :n], value[a:b, :, :n], attn_mask=attention_mask[a:b, ..., :n], scale=scaling
            )
            for a, b, n in blocks or [(0, batch, key.shape[2])]
        ]
        return torch.cat(parts).reshape(batch, 1, heads, dim), None
    key, value = (x.repeat_interleave(heads // kv_heads, dim=1) for x in (key, value))
    out = F.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, is_causal=attention_mask is None, scale=scaling
    )
    return out.transpose(1, 2), None


AttentionInterface.register(ATTENTION, attend)


def round_up(number: int, multiple: int) -> int:
    """`number` rounded up to a multiple."""
    return -(-number // multiple) * multiple


class Slots(Cache):
    """Keys and values, each [layers, rows, kv heads, length, dim], grown when a longer or a further row comes."""

    def __init__(self, config: PretrainedConfig, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(layers=[])
        heads = config.num_attention_heads
        self.layers_count = config.num_hidden_layers
        self.kv_heads = getattr(config, "num_key_value_heads", None) or heads
        self.dim = getattr(config, "head_dim", None) or config.hidden_size // heads
        self.keys = torch.zeros((self.layers_count, 0, self.kv_heads, 0, self.dim), dtype=dtype, device=device)
        self.values = self.keys.clone()

    @property
    def bytes_per_token(self) -> int:
        """Memory of one token of one row, keys and values of all layers."""
        return 2 * self.layers_count * self.kv_heads * self.dim * self.keys.element_size()

    def reserve(self, rows: int, length: int) -> None:
        """Make room for `rows` rows of `length` tokens, keeping what is there."""
        _, old_rows, _, old_length, _ = self.keys.shape
        rows, length = max(rows, old_rows), max(round_up(length, CHUNK), old_length)
        if (rows, length) == (old_rows, old_length):
            return
        for name in ("keys", "values"):
            old = getattr(self, name)
            new = old.new_zeros((self.layers_count, rows, self.kv_heads, length, self.dim))
            new[:, :old_rows, :, :old_length] = old
            setattr(self, name, new)

    def clear(self) -> None:
        """Give the memory back."""
        self.keys = self.keys.new_zeros((self.layers_count, 0, self.kv_heads, 0, self.dim))
        self.values = self.keys.clone()

    def fill(self, rows: slice, prefilled: DynamicCache, index: int, length: int) -> None:
        """Put the first `length` tokens of the prefilled sequence `index` into every row of `rows`."""
        for layer, cache in enumerate(prefilled.layers):
            self.keys[layer, rows, :, :length] = cache.keys[index, :, :length]
            self.values[layer, rows, :, :length] = cache.values[index, :, :length]

    def move(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` tokens of one row to another."""
        self.keys[:, target, :, :length] = self.keys[:, source, :, :length]
        self.values[:, target, :, :length] = self.values[:, source, :, :length]

    def at(self, positions: torch.Tensor, length: int) -> Slots:
        """Where the next forward pass writes: row i at positions[i]; it reads `length` tokens. Returns itself."""
        self.positions, self.length = positions, length
        self.rows = torch.arange(len(positions), device=positions.device)
        return self

    # What a model's forward pass calls.

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store key, value [batch, kv heads, 1, dim] of the new token; give the rows [batch, kv heads, length, dim]."""
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        keys[self.rows, :, self.positions] = key_states[:, :, 0]
        values[self.rows, :, self.positions] = value_states[:, :, 0]
        batch = len(self.rows)
        return keys[:batch, :, : self.length], values[:batch, :, : self.length]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Longest row; positions are always given, so nothing depends on it."""
        return self.length - 1
