"""Search methods by the names that users type, and the one call that runs them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from envs.base_env import Grader, Problem, Task
from reason.common.errors import UserError, unknown
from reason.common.options import build, fields_of, flag_of
from reason.guided_search.best_of_n import best_of_n
from reason.guided_search.method import Method
from reason.guided_search.options import SearchOptions
from reason.guided_search.solution import Solution
from reason.guided_search.tree import SearchTree
from reason.inference.base import LanguageModel, RewardModel
from reason.inference.ledger import Ledger
from reason.model_cards.card import LMCard

PLACES = {  # the name that users type -> module:class; a new method is a file here and a line of this table
    "cot": "best_of_n:Cot",
    "best_of_n": "best_of_n:BestOfN",
    "adaptive_best_of_n": "adaptive_best_of_n:AdaptiveBestOfN",
    "beam_search": "beam_search:BeamSearch",
    "dvts": "dvts:Dvts",
    "lookahead": "lookahead:Lookahead",
    "rebase": "rebase:Rebase",
    "particle_filtering": "particle_filtering:ParticleFiltering",
    "vanila_mcts": "mcts:VanilaMCTS",
    "mcts_alpha": "mcts_alpha:MCTSAlpha",
}


def _class_of(place: str) -> type[Method]:
    module, _, name = place.partition(":")
    cls: type[Method] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return cls


METHODS = {name: _class_of(place) for name, place in PLACES.items()}


def method_of(name: str) -> type[Method]:
    """`METHODS[name]`. Raises UserError with the nearest name."""
    if name not in METHODS:
        raise UserError(unknown("method", name, METHODS))
    return METHODS[name]


def methods_with(option: str) -> list[str]:
    """The names of the methods that have an option of this name of their own."""
    return [name for name, method in METHODS.items() if option in fields_of(method)]


def configure(
    name: str, values: Mapping[str, Any], task: Task | None = None, card: LMCard | None = None
) -> tuple[Method, SearchOptions]:
    """The method `name` and the shared options, from keywords; the flags' names are understood as well.

    What is not given comes from the LM's card (temperature, top_p, top_k), then from the task. Raises UserError for
    an unknown method or option, an option of another method, and a value that no method can use.
    """
    cls = method_of(name)
    shared = fields_of(SearchOptions)
    by_flag = {flag_of(field): field_name for field_name, field in shared.items()}
    general: dict[str, Any] = _defaults(task, card)
    own: dict[str, Any] = {}
    for key, value in values.items():
        if key in shared or key in by_flag:
            general[by_flag.get(key, key)] = value
        elif key in fields_of(cls):
            own[key] = value
        elif whose := methods_with(key):
            raise UserError(f"{key} is an option of {' and '.join(whose)}, not of {name}")
        else:
            raise UserError(unknown(f"option of {name}", key, [*fields_of(cls), *shared]))
    options = SearchOptions(**general)
    return build(cls, own, name), _greedy(options) if cls.greedy else options


def _defaults(task: Task | None, card: LMCard | None) -> dict[str, Any]:
    """What the shared options are where they are not given."""
    values: dict[str, Any] = {}
    if task is not None:
        values |= {"width": task.width, "depth": task.max_depth, "max_new_tokens": task.max_new_tokens}
        values["max_step_tokens"] = task.max_step_tokens
    if card is not None:
        kinds = {"temperature": float, "top_p": float, "top_k": int}
        values |= {key: kind(card.sampling[key]) for key, kind in kinds.items() if key in card.sampling}
    return values


def _greedy(options: SearchOptions) -> SearchOptions:
    return replace(options, temperature=0.0, top_p=1.0, top_k=-1, num_sequence=1, budget=None)


async def solve(
    method: Method,
    problem: Problem,
    task: Task,
    lm: LanguageModel,
    rm: RewardModel | None,
    options: SearchOptions,
    ledger: Ledger,
    grader: Grader | None = None,
) -> list[Solution]:
    """Solutions of one question, see `search`; what it cost is added to `ledger`.

    Without a `grader` methods that compare answers make one of the task's.
    """
    shared = _greedy(options) if method.greedy else options
    return await search(method, SearchTree(problem, task, lm, rm, shared, ledger, grader))


async def search(method: Method, tree: SearchTree) -> list[Solution]:
    """Grow a tree by a method. Raises ModelError, and UserError for a budget that cannot be counted.

    A budget of 1 is one sampled solution for every method, and the same one. The list is empty when the question's
    tokens or seconds were used up before anything was finished; the ledger's `cut_by_*` say so.
    """
    options = tree.options
    if options.budget == 1 and not method.greedy:
        return await best_of_n(tree, 1)
    if needs_steps(method, options):
        raise UserError("the budget of this method is counted in steps: give steps_per_solution, their mean number")
    return await method.search(tree)


def needs_steps(method: Method, options: SearchOptions) -> bool:
    """Whether T, the mean steps of a solution, is needed and not known."""
    counted = method.counts_steps and options.budget is not None and options.budget > 1
    return counted and options.steps_per_solution is None
