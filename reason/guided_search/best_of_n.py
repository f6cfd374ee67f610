"""Best-of-N sampling (Cobbe et al., 2021; Li et al., 2023); greedy chain of thought is its N = 1 at temperature 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from reason.guided_search.method import Method
from reason.guided_search.solution import Solution
from reason.guided_search.tree import SearchTree


@dataclass(frozen=True)
class BestOfN(Method):
    """Best-of-N: independent whole solutions, and a vote over them."""

    needs_rm: ClassVar[bool] = False
    unused: ClassVar[tuple[str, ...]] = ("width", "depth", "max_step_tokens")

    async def search(self, tree: SearchTree) -> list[Solution]:
        """See `best_of_n`."""
        return await best_of_n(tree, tree.options.n)

    @classmethod
    def shape(cls, config: Mapping[str, Any]) -> str:
        """See `Method.shape`."""
        return f"N={config['num_sequence']}"

    @classmethod
    def budget_of(cls, config: Mapping[str, Any]) -> int | None:
        """N itself."""
        return int(config["num_sequence"])


@dataclass(frozen=True)
class Cot(Method):
    """Greedy chain of thought: one solution at temperature 0, so that a reward model has nothing to choose."""

    needs_rm: ClassVar[bool] = False
    greedy: ClassVar[bool] = True
    unused: ClassVar[tuple[str, ...]] = (
        *BestOfN.unused, "num_sequence", "budget", "temperature", "top_p", "top_k",
    )  # fmt: skip

    async def search(self, tree: SearchTree) -> list[Solution]:
        """See `best_of_n`; the tree's temperature is 0."""
        return await best_of_n(tree, 1)

    @classmethod
    def shape(cls, config: Mapping[str, Any]) -> str:
        """See `Method.shape`."""
        return "greedy"


async def best_of_n(tree: SearchTree, n: int) -> list[Solution]:
    """N independent whole solutions, scored by the PRM; the vote over them is the caller's."""
    await tree.sample_solutions(n)
    return tree.solutions()
