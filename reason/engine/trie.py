"""A trie of token sequences: which prefixes are cached, and in which slots of the cache's memory. Needs no torch.

An edge holds a run of tokens and is split where sequences part, so equal prefixes are stored once, token by token.
When room is needed, the leaves that were used longest ago go first.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator

import numpy as np

Tokens = tuple[int, ...]
SPARE = 0.05  # of the capacity, freed at least whenever something must go: one search for the oldest serves many


class Edge:
    """The tokens [n] of one edge with the slot [n] of each, below `parent`; `start` is the first one's position."""

    __slots__ = ("born", "children", "parent", "slots", "start", "tokens", "used")

    def __init__(self, tokens: Tokens, slots: np.ndarray, parent: Edge | None, start: int, clock: int) -> None:
        self.tokens, self.slots, self.parent, self.start = tokens, slots, parent, start
        self.children: dict[int, Edge] = {}  # by first token
        self.used = self.born = clock

    def path(self) -> np.ndarray:
        """Slots of all tokens from the root to this node's last, in order."""
        slots, node = [self.slots], self
        while node.parent is not None:
            node = node.parent
            slots.append(node.slots)
        return np.concatenate(slots[::-1])


class Trie:
    """Owns slots 0 .. capacity - 1. What was touched since the last `tick` is never evicted."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.clock = 0
        self.root = Edge((), np.zeros(0, np.int64), None, 0, 0)
        self.stack = np.arange(capacity)[::-1].copy()  # the first `free` are free; low slots are given out first
        self.free = capacity

    def tick(self) -> None:
        """Begin a pass: what is inserted from now on is fresh, what is older may be evicted."""
        self.clock += 1

    def fresh(self, node: Edge) -> bool:
        """Whether the node was inserted in this pass."""
        return node.born == self.clock and node is not self.root

    def match(self, tokens: Tokens, touch: bool = False) -> int:
        """How many leading tokens are there; `touch` keeps them from being evicted in this pass."""
        node, at = self.root, 0
        while at < len(tokens) and (child := node.children.get(tokens[at])) is not None:
            if touch:
                child.used = self.clock
            shared = _shared(child.tokens, tokens, at)
            at += shared
            if shared < len(child.tokens):
                break
            node = child
        return at

    def prefix(self, tokens: Tokens) -> np.ndarray:
        """Slots [n] of the n leading tokens that are there, which may not be evicted in this pass."""
        node, at = self.root, 0
        slots = [node.slots]
        while at < len(tokens) and (child := node.children.get(tokens[at])) is not None:
            child.used = self.clock
            shared = _shared(child.tokens, tokens, at)
            slots.append(child.slots[:shared])
            at += shared
            if shared < len(child.tokens):
                break
            node = child
        return np.concatenate(slots)

    def insert(self, tokens: Tokens) -> Edge | None:
        """The node that ends with the last token; None, and nothing changed, where the free slots do not suffice."""
        if len(tokens) - self.match(tokens) > self.free:
            return None
        node, at = self.root, 0
        while at < len(tokens):
            child = node.children.get(tokens[at])
            if child is None:
                child = Edge(tokens[at:], self._allocate(len(tokens) - at), node, at, self.clock)
                node.children[tokens[at]] = child
            elif (shared := _shared(child.tokens, tokens, at)) < len(child.tokens):
                child = self._split(child, shared)
            child.used = self.clock
            node, at = child, at + len(child.tokens)
        return node

    def reserve(self, wanted: int) -> None:
        """Evict until `wanted` slots are free, or nothing is left that may go."""
        if wanted <= self.free:
            return
        wanted = max(wanted, int(SPARE * self.capacity))
        leaves = [_age(node) for node in self.nodes() if not node.children and node.used < self.clock]
        heapq.heapify(leaves)
        while leaves and self.free < wanted:
            leaf = heapq.heappop(leaves)[-1]
            parent = leaf.parent
            assert parent is not None
            self.drop(leaf)
            if parent is not self.root and not parent.children and parent.used < self.clock:
                heapq.heappush(leaves, _age(parent))

    def drop(self, top: Edge) -> None:
        """Remove a node and all below it."""
        assert top.parent is not None
        del top.parent.children[top.tokens[0]]
        for node in subtree(top):
            self.stack[self.free : self.free + len(node.slots)] = node.slots
            self.free += len(node.slots)

    def nodes(self) -> Iterator[Edge]:
        """All nodes but the root."""
        for child in self.root.children.values():
            yield from subtree(child)

    def _allocate(self, count: int) -> np.ndarray:
        self.free -= count
        return self.stack[self.free : self.free + count][::-1].copy()

    def _split(self, node: Edge, at: int) -> Edge:
        """Cut a node after `at` tokens; returns the new upper part. The lower part stays the same object."""
        assert node.parent is not None
        upper = Edge(node.tokens[:at], node.slots[:at], node.parent, node.start, node.born)
        upper.used = node.used
        upper.children[node.tokens[at]] = node
        node.parent.children[node.tokens[0]] = upper
        node.tokens, node.slots, node.parent, node.start = node.tokens[at:], node.slots[at:], upper, node.start + at
        return upper


def subtree(top: Edge) -> Iterator[Edge]:
    """A node and all below it, parents before children, one branch after the other."""
    stack = [top]
    while stack:
        node = stack.pop()
        yield node
        stack += node.children.values()


def _age(node: Edge) -> tuple[int, int, int, Edge]:
    """A key that sorts the node to be evicted first to the front: unused for longest, then deepest."""
    return (node.used, -node.start, id(node), node)


def _shared(run: Tokens, tokens: Tokens, at: int) -> int:
    """How many tokens of `run` are also at `tokens[at:]`."""
    length = min(len(run), len(tokens) - at)
    if run[:length] == tokens[at : at + length]:
        return length
    return next(i for i in range(length) if run[i] != tokens[at + i])
