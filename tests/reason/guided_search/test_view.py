"""A finished tree, to look at."""

from __future__ import annotations

import pytest

from envs.arithmetic import TASK
from envs.base_env import Problem
from reason.guided_search import METHODS, configure, search
from reason.guided_search.tree import SearchTree
from reason.guided_search.view import TreeView, view_of
from reason.inference.ledger import Ledger
from tests.fakes import LM_CARD, FakeLM, FakeRM

PROBLEM = Problem("p", "23 + 9 * 3 + 68", "118")


async def viewed(name: str, rm: FakeRM | None, **options: object) -> tuple[TreeView, list[str]]:
    values = {"budget": 8, "steps_per_solution": 3, "max_new_tokens": 400, **options}
    method, shared = configure(name, values, TASK, LM_CARD)
    tree = SearchTree(PROBLEM, TASK, FakeLM(), rm, shared, Ledger(), TASK.grader())
    solutions = await search(method, tree)
    return view_of(tree, solutions), [solution.text for solution in solutions]


@pytest.mark.parametrize("method", METHODS)
async def test_it_holds_every_solution_step_by_step(method: str) -> None:
    view, solutions = await viewed(method, FakeRM())
    ends, path = set(), list[str]()
    for depth, step in view.walk():
        path = [*path[:depth], step.step]
        if step.finish_reason is not None:
            ends.add("".join(path))
    assert set(solutions) <= ends
    assert (method in ("vanila_mcts", "mcts_alpha")) == any(step.visits for _, step in view.walk())


async def test_steps_have_scores_where_a_reward_model_gave_them() -> None:
    with_rm, _ = await viewed("best_of_n", FakeRM())
    without, _ = await viewed("best_of_n", None)
    assert [step.score is not None for _, step in with_rm.walk()] == [step.step != "" for _, step in with_rm.walk()]
    assert all(step.score is None for _, step in without.walk())
    assert [(depth, step.step, step.count) for depth, step in without.walk()] == [
        (depth, step.step, step.count) for depth, step in with_rm.walk()
    ]


async def test_counts_are_of_the_samples_drawn_at_a_step() -> None:
    view, solutions = await viewed("best_of_n", FakeRM())
    assert sum(child.count for child in view.children) == len(solutions) == 8


async def test_it_is_drawn_with_a_line_a_step_and_no_control_character() -> None:
    view, _ = await viewed("beam_search", FakeRM())
    assert str(view).count("\n") + 2 == len(view)
    assert repr(view) == f"TreeView('', {len(view)} steps)"
    view.children[0].node.step = "\x1b[31m<b>9</b>\x07\n"
    assert not any(ord(c) < 32 for c in str(view).replace("\n", ""))
    assert "&lt;b&gt;9" in view._repr_html_() and "<b>" not in view._repr_html_()
