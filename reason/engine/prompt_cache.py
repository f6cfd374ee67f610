"""Keys and values that the engine computed, kept for prompts that begin with the same tokens.

In tree search a prompt is its parent's prompt and completion, whose keys and values were all computed but the last
token's. Memory is slots of one token each; a trie says which token sequences are in which slots, and evicts what was
used longest ago.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from reason.engine.slots import Slots
from reason.engine.trie import Trie


class PromptCache:
    """Bound to one model whose weights stay. For the engine's thread alone."""

    def __init__(self, slots: Slots, memory: int) -> None:
        """`memory`: bytes, 0 for nothing kept."""
        self.slots = slots
        self.trie = Trie(memory // slots.bytes_per_token)
        shape = (self.trie.capacity, 2, slots.layers_count, slots.kv_heads, slots.dim)  # 2: keys, values
        self.slab = torch.empty(shape, dtype=slots.keys.dtype, device=slots.keys.device)  # on a CPU taken as it fills

    def clear(self) -> None:
        """Forget everything."""
        self.trie = Trie(self.trie.capacity)

    def load(self, tokens: Sequence[int], rows: slice) -> int:
        """Put the longest known beginning of `tokens` into every one of `rows`; returns its length."""
        known = self.trie.prefix(tuple(tokens))
        if len(known):
            found = self.slab[torch.from_numpy(known).to(self.slab.device)].permute(1, 2, 3, 0, 4)[:, :, None]
            self.slots.keys[:, rows, :, : len(known)] = found[0]
            self.slots.values[:, rows, :, : len(known)] = found[1]
        return len(known)

    def store(self, tokens: Sequence[int], row: int) -> None:
        """Keep `tokens`, whose keys and values are the first ones of `row`; nothing where there is no room."""
        tokens, trie = tuple(tokens), self.trie
        if len(tokens) > trie.capacity:
            return
        trie.tick()
        known = len(trie.prefix(tokens))
        trie.reserve(len(tokens) - known)
        if known == len(tokens) or (end := trie.insert(tokens)) is None:
            return
        kept = torch.from_numpy(end.path()[known:]).to(self.slab.device)
        new = slice(known, len(tokens))
        states = torch.stack([self.slots.keys[:, row, :, new], self.slots.values[:, row, :, new]])
        self.slab[kept] = states.permute(3, 0, 1, 2, 4)
