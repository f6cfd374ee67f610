"""A prefix cache for scoring trees: keys, values and scores of what was read stay, so a new step costs its own tokens.

Memory is slots of one token each: keys and values of every layer, and the score where the token is a step tag. A trie
says which token sequences are in which slots. A pass enters its inputs into the trie and computes what is fresh:
a row of the forward pass is the fresh part of a question's tree below one cached node, each token attending to
its own ancestors by a mask, so what inputs share is computed once within a pass as well as between passes. The rows'
tokens stand in one line, so that only attention sees padding (folded_attention.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache

from prm.scoring.folded_attention import ATTENTION, Fold
from prm.scoring.heads import Head
from prm.scoring.layout import Layout
from reason.engine.plan import batches
from reason.engine.trie import Edge, Trie, subtree

ROW_TOKENS = 128  # up to this, subtrees below one cached node share a row; more would cost more than the context's copy


CONTEXT_COST = 16  # a row's cached tokens that weigh as much as one that is computed, for memory and time


class Cached(NamedTuple):
    """What the cache makes of an input."""

    scores: list[float] | None  # None where the cache cannot hold the input, or its row had a score that is no number
    computed: int  # tokens that went through the model for it; what inputs share counts for the first


@dataclass
class FreshRow:
    """Fresh nodes, parents first, below the node `anchor` that is cached (or the root)."""

    anchor: Edge
    nodes: list[Edge]
    tokens: int
    finite: bool = True  # whether its scores are numbers

    @property
    def cost(self) -> int:
        """In computed tokens."""
        return self.tokens + (self.anchor.start + len(self.anchor.tokens)) // CONTEXT_COST


class PrefixCache:
    """Bound to one model whose weights stay. Not for use from several threads at a time."""

    def __init__(self, model: Any, head: Head, tag: int | None, token_budget: int, memory: int) -> None:
        """`memory`: bytes for keys and values; `token_budget`: padded tokens of a forward pass; `tag`: the only
        token with scores, None where any may have one."""
        self.model, self.head, self.tag, self.token_budget = model, head, tag, token_budget
        model.set_attn_implementation(ATTENTION)
        widths = _widths(model)
        size = 2 if model.dtype in (torch.bfloat16, torch.float16) else 4
        slots = memory // (size * sum(k + v for k, v in widths))
        self.nothing = slots  # read by padding, always zeros
        options = {"dtype": model.dtype, "device": model.device}
        self.keys = [torch.empty(slots + 1, k, **options) for k, _ in widths]
        self.values = [torch.empty(slots + 1, v, **options) for _, v in widths]
        for slab in self.keys + self.values:
            slab[self.nothing] = 0
        self.scores = np.full(slots, np.nan, np.float32)
        self.trie = Trie(slots)

    def missing(self, layout: Layout) -> int:
        """How many of an input's tokens are not cached."""
        return len(layout.tokens) - self.trie.match(layout.tokens)

    def compute(self, layouts: Sequence[Layout]) -> list[Cached]:
        """Scores of inputs. Where the model raises, nothing of theirs stays."""
        trie = self.trie
        trie.tick()
        trie.reserve(sum(len(layout.tokens) - trie.match(layout.tokens, touch=True) for layout in layouts))
        ends = [trie.insert(layout.tokens) for layout in layouts]
        computed = self._shares(ends)
        rows = self._rows(ends)
        try:
            for batch in batches([row.cost for row in rows], self.token_budget):
                self._forward([rows[i] for i in batch])
        except BaseException:
            self._drop(rows)
            raise
        scores = [self._read(end, layout) for end, layout in zip(ends, layouts, strict=True)]
        self._drop([row for row in rows if not row.finite])
        return [Cached(found, count) for found, count in zip(scores, computed, strict=True)]

    def _read(self, end: Edge | None, layout: Layout) -> list[float] | None:
        """The scores of an input that ends at `end`."""
        if end is None:
            return None
        scores = self.scores[end.path()[list(layout.positions)]]
        return scores.tolist() if np.isfinite(scores).all() else None

    def _shares(self, ends: list[Edge | None]) -> list[int]:
        """Fresh tokens on the path of each input that are on no earlier one's."""
        seen: set[Edge] = set()
        shares = []
        for node in ends:
            count = 0
            while node is not None and self.trie.fresh(node) and node not in seen:
                seen.add(node)
                count += len(node.tokens)
                node = node.parent
            shares.append(count)
        return shares

    def _rows(self, ends: list[Edge | None]) -> list[FreshRow]:
        """The fresh nodes, row by row."""
        rows: dict[Edge, FreshRow] = {}  # by anchor: the row that still takes more
        seen: set[Edge] = set()
        done = []
        for node in ends:
            if node is None or not self.trie.fresh(node):
                continue
            anchor = node.parent
            while anchor is not None and self.trie.fresh(anchor):
                node, anchor = anchor, anchor.parent
            assert anchor is not None  # the root is never fresh
            if node in seen:
                continue
            seen.add(node)
            nodes = list(subtree(node))
            tokens = sum(len(n.tokens) for n in nodes)
            row = rows.get(anchor)
            if row is not None and row.tokens + tokens <= ROW_TOKENS:
                row.nodes += nodes
                row.tokens += tokens
            else:
                rows[anchor] = row = FreshRow(anchor, nodes, tokens)
                done.append(row)
        return done

    def _drop(self, rows: list[FreshRow]) -> None:
        for row in rows:
            for node in row.nodes:
                if node.parent is row.anchor:
                    self.trie.drop(node)

    def _forward(self, rows: list[FreshRow]) -> None:
        """One forward pass: fills the slots of the rows' nodes."""
        contexts = [row.anchor.path() for row in rows]
        lengths = [row.tokens for row in rows]
        length, context = max(lengths), max(map(len, contexts))
        read = np.full((len(rows), context + length), self.nothing)
        visible = np.zeros((len(rows), length, context + length), bool)
        for r, (row, slots) in enumerate(zip(rows, contexts, strict=True)):
            read[r, : len(slots)] = slots
            visible[r, :, : len(slots)] = True
            last: dict[Edge, int] = {}  # where each node's last token is in the row
            at = 0
            for node in row.nodes:
                end = at + len(node.tokens)
                read[r, context + at : context + end] = node.slots
                if node.parent in last:
                    visible[r, at:end, context:] = visible[r, last[node.parent], context:]
                visible[r, at:end, context + at : context + end] = np.tri(end - at, dtype=bool)
                last[node] = end - 1
                at = end
        nodes = [node for row in rows for node in row.nodes]
        ids = np.concatenate([node.tokens for node in nodes])
        positions = np.concatenate([np.arange(node.start, node.start + len(node.tokens)) for node in nodes])
        write = np.concatenate([node.slots for node in nodes])
        tags = np.arange(len(ids)) if self.tag is None else np.flatnonzero(ids == self.tag)
        device = self.model.device
        mask = torch.zeros(visible.shape, dtype=self.model.dtype)
        mask.masked_fill_(torch.from_numpy(~visible), torch.finfo(mask.dtype).min)  # finite: padding sees nothing else
        hidden = self.model.base_model(
            input_ids=torch.from_numpy(ids)[None].to(device),
            attention_mask=mask[:, None].to(device),
            position_ids=torch.from_numpy(positions)[None].to(device),
            past_key_values=_Slots(self, torch.from_numpy(write).to(device), torch.from_numpy(read).to(device)),
            use_cache=True,
            fold=Fold.of(lengths, device),
        ).last_hidden_state[0]
        scores = self.head(hidden[torch.from_numpy(tags).to(device)]).cpu().numpy()
        self.scores[write[tags]] = scores
        row_of = np.repeat(np.arange(len(rows)), lengths)
        for r in row_of[tags[~np.isfinite(scores)]]:
            rows[r].finite = False


class _Slots(Cache):
    """The cache as a model's attention layers see it in one pass: the line's tokens are written to slots write [n],
    then row r reads slots read[r] [rows, context + length]."""

    def __init__(self, cache: PrefixCache, write: Tensor, read: Tensor) -> None:
        super().__init__(layers=[])
        self.cache, self.write, self.shape, self.read = cache, write, read.shape, read.flatten()

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Keys and values of the new tokens [1, heads, n, dim] -> of all [rows, heads, context + length, dim]."""
        return (
            self._exchange(self.cache.keys[layer_idx], key_states),
            self._exchange(self.cache.values[layer_idx], value_states),
        )

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens before the new ones; positions are always given, so nothing depends on it."""
        return 0

    def _exchange(self, slab: Tensor, states: Tensor) -> Tensor:
        _, heads, _, dim = states.shape
        slab.index_copy_(0, self.write, states[0].transpose(0, 1).reshape(-1, heads * dim))
        return slab.index_select(0, self.read).view(*self.shape, heads, dim).transpose(1, 2)


def _widths(model: Any) -> list[tuple[int, int]]:
    """Numbers that a token's key and value take in each layer, as the model's own cache holds them."""
    ids = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    with torch.inference_mode():
        layers = model.base_model(input_ids=ids, use_cache=True).past_key_values.layers
    return [(layer.keys.numel(), layer.values.numel()) for layer in layers]


def unfit(model: Any, max_length: int) -> str | None:
    """Why keys and values of this model cannot be kept for inputs of up to `max_length` tokens; None where they can."""
    config = model.config.get_text_config()
    for name in ("sliding_window", "attention_chunk_size"):
        window = getattr(config, name, None)
        if window is not None and window < max_length:
            return f"its attention has a {name} of {window} tokens"
    return None
