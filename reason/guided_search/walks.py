"""Walks of a tree, K of them in flight, in an order that replies cannot change.

A walk is a generator: it goes down the tree, yields what it wants drawn, and is resumed with the new children; it
ends at a leaf, or at nothing. `drive` resumes walks strictly in the order in which they asked, whatever the order of
the replies, and hangs samples into the tree only then. So with K walks the tree is a function of the models' answers
alone, and with K = 1 it is that of the sequential algorithm.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Generator
from typing import NamedTuple

from reason.guided_search.node import Node
from reason.guided_search.puct import Puct
from reason.guided_search.tree import Draw, SearchTree


class Ask(NamedTuple):
    """What a walk wants: `width` samples at `node`, of one step or of the whole rest."""

    node: Node
    width: int
    to_end: bool


# resumed with the new children, or with None when another walk drew there meanwhile: look again
Walk = Generator[Ask, list[Node] | None, None]


async def drive(tree: SearchTree, puct: Puct, start: Callable[[int], Walk | None]) -> None:
    """Keep `leaves_in_flight` walks on their way as long as `start`, told how many there are, gives another.

    A walk that waits counts as a virtual visit on its path, for the others and not for itself. One that wants to draw
    where another is drawing waits for that draw instead.
    """
    waiting: deque[tuple[Walk, Ask, asyncio.Future[Draw | None] | None]] = deque()

    def resume(walk: Walk, children: list[Node] | None, first: bool = False) -> None:
        try:
            ask = next(walk) if first else walk.send(children)
        except StopIteration:
            return
        taken = any(other.node is ask.node and draw is not None for _, other, draw in waiting)
        draw = None if taken else asyncio.ensure_future(tree.draw(ask.node, ask.width, ask.to_end))
        waiting.append((walk, ask, draw))
        puct.add_virtual(ask.node, 1)

    try:
        while True:
            while len(waiting) < puct.options.leaves_in_flight and (walk := start(len(waiting))) is not None:
                resume(walk, None, first=True)
            if not waiting:
                return
            walk, ask, draw = waiting[0]
            children = None if draw is None else tree.attach(await draw)
            waiting.popleft()
            puct.add_virtual(ask.node, -1)
            resume(walk, children)
    finally:
        for _, _, draw in waiting:  # one of them failed: the question is lost
            if draw is not None:
                draw.cancel()
