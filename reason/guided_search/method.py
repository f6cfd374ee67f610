"""What a search method is: a frozen dataclass of its own options with its search.

A new method is one file with such a class and one line in `PLACES`. Its flags, their help, the note on flags that it
has no use for, config.json and the labels of reports follow from the class.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from reason.common.options import check

if TYPE_CHECKING:
    from reason.guided_search.solution import Solution
    from reason.guided_search.tree import SearchTree


@dataclass(frozen=True)
class Method(ABC):
    """A search method. Its fields are its own options; what it shares with others is in `tree.options`."""

    needs_rm: ClassVar[bool] = True
    greedy: ClassVar[bool] = False  # one solution at temperature 0
    counts_steps: ClassVar[bool] = False  # its budget is N x T steps, so T, the steps of a solution, is needed
    unused: ClassVar[tuple[str, ...]] = ()  # fields of SearchOptions that the method has no use for

    def __post_init__(self) -> None:
        check(self)

    @abstractmethod
    async def search(self, tree: SearchTree) -> list[Solution]:
        """Solutions of the tree's question. Raises ModelError."""

    @classmethod
    def shape(cls, config: Mapping[str, Any]) -> str:
        """How a run without a budget searched, in a few words; `config` is its method_config."""
        return ""

    @classmethod
    def budget_of(cls, config: Mapping[str, Any]) -> int | None:
        """The budget N that a run without a budget comes to; None where its options do not say."""
        return None
