"""Search methods by the names that users type, and the one call that runs them."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from envs.base_env import Grader, Problem, Task
from reason.guided_search.adaptive_best_of_n import adaptive_best_of_n
from reason.guided_search.beam_search import beam_search
from reason.guided_search.best_of_n import best_of_n
from reason.guided_search.dvts import dvts
from reason.guided_search.lookahead import lookahead
from reason.guided_search.mcts import vanila_mcts
from reason.guided_search.mcts_alpha import mcts_alpha
from reason.guided_search.options import SearchOptions
from reason.guided_search.particle_filtering import particle_filtering
from reason.guided_search.puct import Rules
from reason.guided_search.rebase import rebase
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


def _rules(o: SearchOptions) -> Rules:
    return Rules(o.prior, o.first_play, o.back_up, o.rollout, o.leaves_in_flight)


async def _beam_search(tree: SearchTree, o: SearchOptions) -> list[Solution]:
    return await beam_search(tree, *o.beams(), o.depth)


async def _dvts(tree: SearchTree, o: SearchOptions) -> list[Solution]:
    return await dvts(tree, *o.beams(), o.depth)


async def _lookahead(tree: SearchTree, o: SearchOptions) -> list[Solution]:
    return await lookahead(tree, *o.beams(cost=o.lookahead_steps + 1), o.depth, o.lookahead_steps)


async def _particle_filtering(tree: SearchTree, o: SearchOptions) -> list[Solution]:
    return await particle_filtering(tree, o.n, o.depth, o.particle_weights, o.resampling, o.ess_threshold)


async def _vanila_mcts(tree: SearchTree, o: SearchOptions) -> list[Solution]:
    num_path = o.num_sequence if o.budget is None else math.inf  # then the steps are counted
    return await vanila_mcts(tree, num_path, o.beams()[0], o.depth, o.pb_c_base, o.pb_c_init, _rules(o))


async def _mcts_alpha(tree: SearchTree, o: SearchOptions) -> list[Solution]:
    width, wide = o.beams()  # a budget allows N / M simulations a step
    simulations, num_path = o.num_simulation, o.num_sequence
    if o.budget is not None:
        simulations = min(o.num_simulation, wide)
        num_path = wide // simulations
    return await mcts_alpha(tree, num_path, simulations, width, o.depth, o.pb_c_base, o.pb_c_init, _rules(o))


METHODS: dict[str, Method] = {
    "cot": Method(lambda tree, o: best_of_n(tree, 1), needs_rm=False, greedy=True),
    "best_of_n": Method(lambda tree, o: best_of_n(tree, o.n), needs_rm=False),
    "adaptive_best_of_n": Method(lambda tree, o: adaptive_best_of_n(tree, o.n, o.wave_size), needs_rm=False),
    "beam_search": Method(_beam_search, needs_rm=True),
    "dvts": Method(_dvts, needs_rm=True),
    "lookahead": Method(_lookahead, needs_rm=True),
    "rebase": Method(lambda tree, o: rebase(tree, o.n, o.rebase_temperature, o.depth), needs_rm=True),
    "particle_filtering": Method(_particle_filtering, needs_rm=True),
    "vanila_mcts": Method(_vanila_mcts, needs_rm=True),
    "mcts_alpha": Method(_mcts_alpha, needs_rm=True),
}


async def solve(
    method: str,
    problem: Problem,
    task: Task,
    lm: LanguageModel,
    rm: RewardModel | None,
    options: SearchOptions,
    ledger: Ledger,
    grader: Grader | None = None,
) -> list[Solution]:
    """Solutions of one question by `METHODS[method]`; what it cost is added to `ledger`. Raises ModelError.

    A budget of 1 is one sampled solution for every method, and the same one. The list is empty when the question's
    tokens or seconds were used up before anything was finished; the ledger's `cut_by_*` say so. Without a `grader`
    methods that compare answers make one of the task's.
    """
    chosen = METHODS[method]
    if chosen.greedy:
        options = replace(options, temperature=0.0, top_p=1.0, top_k=-1, num_sequence=1, budget=None)
    tree = SearchTree(problem, task, lm, rm, options, ledger, grader)
    return await (best_of_n(tree, 1) if options.budget == 1 else chosen.run(tree, options))
