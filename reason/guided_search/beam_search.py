"""Step-level beam search guided by a PRM (Snell et al., 2024, section 5.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from reason.guided_search.method import Method
from reason.guided_search.node import Node
from reason.guided_search.solution import Solution
from reason.guided_search.tree import SearchTree

Worth = Callable[[list[Node]], Awaitable[list[float]]]


@dataclass(frozen=True)
class BeamSearch(Method):
    """Beam search over steps."""

    async def search(self, tree: SearchTree) -> list[Solution]:
        """See `beam_search`."""
        return await beam_search(tree, *tree.options.beams(), tree.options.depth)

    @classmethod
    def shape(cls, config: Mapping[str, Any]) -> str:
        """See `Method.shape`."""
        return f"{config['num_sequence']} x {config['width']}"

    @classmethod
    def budget_of(cls, config: Mapping[str, Any]) -> int | None:
        """Beams times width."""
        return int(config["num_sequence"] * config["width"])


async def last_score(nodes: list[Node]) -> list[float]:
    """What a beam is worth in plain beam search: the PRM's score of its last step."""
    return [node.score for node in nodes]


async def beam_search(
    tree: SearchTree, width: int, beam_size: int, max_depth: int, worth: Worth = last_score
) -> list[Solution]:
    """The first round draws width * beam_size steps from the root; each round keeps the best `beam_size` nodes,
    finished ones included, and draws `width` from each that grows; the last round writes to the end.

    In the paper's symbols width is M and width * beam_size is N. Equal samples are one beam here: when fewer different
    ones than `beam_size` are there, those share the round's draws. `worth` says what each new node is worth; it is
    asked only where there is a choice. Returns every solution that was finished on the way, for the vote, as often as
    it was drawn.
    """
    finished: list[Node] = []
    beam, children = [tree.root], await tree.expand([tree.root], width * beam_size, to_end=max_depth == 1)
    for depth in range(2, max_depth + 2):
        finished += [leaf for leaf in children if leaf.finished for _ in range(leaf.count)]
        beam = children + [node for node in beam if node.finished]
        values = await (worth if len(beam) > beam_size else last_score)(beam)
        beam = best(beam, values, beam_size)
        growing = [node for node in beam if not node.finished]
        if not growing:
            break
        draws = width * (beam_size - (len(beam) - len(growing)))  # a finished beam holds its place
        widths = [draws // len(growing) + (i < draws % len(growing)) for i in range(len(growing))]
        children = await tree.expand(growing, widths, to_end=depth >= max_depth)
    tree.collect(finished)
    return tree.solutions()


def best(nodes: list[Node], values: list[float], k: int) -> list[Node]:
    """The k nodes of the greatest values, best first; among equals the better scored, then the first drawn."""
    order = sorted(range(len(nodes)), key=lambda i: (-values[i], -nodes[i].score))
    return [nodes[i] for i in order[:k]]
