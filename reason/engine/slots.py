"""Keys and values of many sequences of different lengths, one row each, and the attention that reads them.

Rows are filled from their beginning (padding is behind), so what a row attends to does not depend on the other
rows. A finished row is replaced by the last one: rows in use are always the first ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from transformers import AttentionInterface, PretrainedConfig
from transformers.cache_utils import Cache

ATTENTION = "openr_slots"
CHUNK = 32  # lengths are rounded up to it: fewer shapes, and sums whose order does not change with the padding


class Block(NamedTuple):
    """Queries `first`:`end`, which read the first `length` tokens of the rows of the same numbers, or of one `row`."""

    first: int
    end: int
    length: int
    row: int | None = None

    def of(self, rows: torch.Tensor) -> torch.Tensor:
        """What the queries read of keys or values [rows, kv heads, length, dim], a row a query."""
        if self.row is None:
            return rows[self.first : self.end, :, : self.length]
        return rows[self.row : self.row + 1, :, : self.length].expand(self.end - self.first, -1, -1, -1)


def attend(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    blocks: Sequence[Block] = (),
    **_others: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of query [batch, heads, 1, dim] over key, value [rows, kv heads, length, dim], block by block.

    Returns [batch, 1, heads, dim], and no weights. `attention_mask` [batch, 1, 1, length] is added. Every query is a
    sequence of its own, a prompt's tokens too, so that a token's sums are the same in a prompt and when generated;
    the query heads that share a key head are taken as if they were positions, so that keys are not copied.
    """
    assert attention_mask is not None
    batch, heads, _, dim = query.shape
    kv_heads = key.shape[1]
    grouped = query.view(batch, kv_heads, heads // kv_heads, dim)
    parts = [
        F.scaled_dot_product_attention(
            grouped[block.first : block.end], block.of(key), block.of(value),
            attn_mask=attention_mask[block.first : block.end, ..., : block.length], scale=scaling,
        )
        for block in blocks
    ]  # fmt: skip
    return torch.cat(parts).reshape(batch, 1, heads, dim), None


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

    def copy(self, source: int, targets: slice, tokens: slice) -> None:
        """Copy some tokens of one row to others."""
        self.keys[:, targets, :, tokens] = self.keys[:, source, None, :, tokens]
        self.values[:, targets, :, tokens] = self.values[:, source, None, :, tokens]

    def permute(self, order: np.ndarray, lengths: np.ndarray) -> None:
        """Row i becomes what row order[i] was, of which lengths[order[i]] tokens count; in place, cycle by cycle."""
        done = np.zeros(len(order), bool)
        for start in np.flatnonzero(order != np.arange(len(order))):
            if done[start]:
                continue
            tokens = slice(0, int(lengths[start]))
            first = self.keys[:, start, :, tokens].clone(), self.values[:, start, :, tokens].clone()
            target = start
            while (source := order[target]) != start:
                self.copy(source, slice(target, target + 1), slice(0, int(lengths[source])))
                done[target], target = True, source
            self.keys[:, target, :, tokens], self.values[:, target, :, tokens] = first
            done[target] = True

    def at(self, rows: torch.Tensor, positions: torch.Tensor, length: int) -> Slots:
        """Where the next forward pass writes: query i to row rows[i] at positions[i]; it reads at most `length` tokens.

        Returns itself.
        """
        self.rows, self.positions, self.length = rows, positions, length
        return self

    # What a model's forward pass calls.

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store key, value [batch, kv heads, 1, dim] of the new token; give all rows [rows, kv heads, length, dim]."""
        keys, values = self.keys[layer_idx], self.values[layer_idx]
        keys[self.rows, :, self.positions] = key_states[:, :, 0]
        values[self.rows, :, self.positions] = value_states[:, :, 0]
        return keys[:, :, : self.length], values[:, :, : self.length]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Longest row; positions are always given, so nothing depends on it."""
        return self.length - 1
