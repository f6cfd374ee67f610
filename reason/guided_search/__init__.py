"""Search methods by the names that users type, and the one call that runs them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from envs.base_env import Problem, Task
from reason.guided_search.beam_search import beam_search
from reason.guided_search.best_of_n import best_of_n
from reason.guided_search.mcts import vanila_mcts
from reason.guided_search.options import SearchOptions
from reason.guided_search.solution import Solution
from reason.guided_search.tree import SearchTree
from reason.inference.base import LanguageModel, RewardModel
from reason.inference.ledger import Ledger


@dataclass(frozen=True)
class Method:
    """A search method: how it is run from the shared options, and what it needs."""

    run: Callable[[SearchTree, SearchOptions], Awaitable[list[Solution]]]
    needs_rm: bool
    greedy: bool = False  # one solution at temperature 0


METHODS: dict[str, Method] = {
    "cot": Method(lambda tree, o: best_of_n(tree, 1), needs_rm=False, greedy=True),
    "best_of_n": Method(lambda tree, o: best_of_n(tree, o.num_sequence), needs_rm=False),
    "beam_search": Method(lambda tree, o: beam_search(tree, o.width, o.num_sequence, o.depth), needs_rm=True),
    "vanila_mcts": Method(
        lambda tree, o: vanila_mcts(tree, o.num_sequence, o.width, o.depth, o.pb_c_base, o.pb_c_init), needs_rm=True
    ),
}


async def solve(
    method: str,
    problem: Problem,
    task: Task,
    lm: LanguageModel,
    rm: RewardModel | None,
    options: SearchOptions,
    ledger: Ledger,
) -> list[Solution]:
    """Solutions of one question by `METHODS[method]`; what it cost is added to `ledger`. Raises ModelError."""
    chosen = METHODS[method]
    if chosen.greedy:
        options = replace(options, temperature=0.0, top_p=1.0, top_k=-1, num_sequence=1)
    return await chosen.run(SearchTree(problem, task, lm, rm, options, ledger), options)
