"""One budget for every method, and the limits of a question: tokens and seconds."""

import asyncio
import time

import pytest

from envs.base_env import DataOptions, load_task
from reason.common.errors import UserError
from reason.evaluation.evaluator import Setup, evaluate
from reason.guided_search import METHODS, configure, solve
from reason.guided_search.beam_search import BeamSearch
from reason.guided_search.limits import Limits
from reason.guided_search.options import SearchOptions
from reason.guided_search.tree import SearchTree
from reason.inference.base import ModelError
from reason.inference.ledger import Ledger
from reason.inference.oracle import OracleRM
from tests.fakes import FakeLM, FakeRM
from tests.reason.guided_search.scripted import PROBLEM, TASK, ScriptedLM, ScriptedRM, TextGrader

ARITHMETIC = load_task("arithmetic")
PROBLEMS = ARITHMETIC.problems(DataOptions(limit=24))
SEARCHES = [name for name in METHODS if name != "cot"]
TREES = [name for name in SEARCHES if METHODS[name].needs_rm]
FIXED = {"depth": 10, "temperature": 1.0, "steps_per_solution": 8.0}


async def search(method, problem, rm=None, lm=None, **options):
    """Solutions and ledger of one arithmetic question."""
    ledger = Ledger()
    chosen, shared = configure(method, FIXED | options)
    return await solve(chosen, problem, ARITHMETIC, lm or FakeLM(), rm or FakeRM(), shared, ledger), ledger


@pytest.mark.parametrize("method", SEARCHES)
async def test_a_budget_of_one_is_the_same_sampled_solution_for_every_method(method):
    for problem in PROBLEMS[:5]:
        (one,), ledger = await search(method, problem, budget=1)
        (best,), _ = await search("best_of_n", problem, num_sequence=1)
        assert one == best
        assert ledger.generated_tokens == one.num_tokens


@pytest.mark.parametrize("method", SEARCHES)
async def test_each_algorithm_comes_to_one_sampled_solution_by_itself(method):
    script = {"": ["a\n"], "a\n": ["b\n"], "a\nb\n": ["answer 1"]}
    options = SearchOptions(budget=1, steps_per_solution=3.0, depth=6)
    lm, rm = ScriptedLM(script), ScriptedRM({"a\n": 0.5, "b\n": 0.5, "answer 1": 0.5})
    tree = SearchTree(PROBLEM, TASK, lm, rm, options, Ledger(), TextGrader())
    (solution,) = await METHODS[method]().search(tree)
    assert solution.steps == ("a\n", "b\n", "answer 1")
    assert tree.limits.steps == 3
    assert all(n == 1 for _, n in lm.asked)


@pytest.mark.parametrize("method", SEARCHES)
async def test_no_more_steps_are_sampled_than_the_budget_allows(method, monkeypatch):
    trees = []
    start = SearchTree.__init__
    monkeypatch.setattr(SearchTree, "__init__", lambda self, *a, **k: (trees.append(self), start(self, *a, **k))[0])
    for budget in (2, 6, 16):
        for problem in PROBLEMS[:6]:  # each solution has 8 steps, which is T
            trees.clear()
            solutions, _ = await search(method, problem, budget=budget)
            assert solutions
            # a search that had to be brought to an end may need the rest of one solution more
            assert trees[0].limits.steps <= 8 * budget + (6 if method in ("vanila_mcts", "mcts_alpha") else 0)


@pytest.mark.parametrize("method", SEARCHES)
async def test_coverage_and_the_oracles_accuracy_rise_with_the_budget(method):
    oracle, found = OracleRM(ARITHMETIC), []
    for budget in (1, 4, 16):
        covered = 0
        for problem in PROBLEMS:
            solutions, _ = await search(method, problem, oracle, budget=budget)
            best = max(solutions, key=lambda s: min(s.scores or (0,)))
            right = [s.answer == problem.answer for s in solutions]
            assert (best.answer == problem.answer) >= (min(best.scores) == 1)
            covered += any(right)
        found.append(covered)
    assert found[0] < found[1] <= found[2], found
    assert found[2] >= 0.9 * len(PROBLEMS), found


@pytest.mark.parametrize("method", SEARCHES)
async def test_spent_tokens_end_the_search_with_what_was_finished(method):
    whole, cost = await search(method, PROBLEMS[0], budget=8)
    one = cost.generated_tokens // 8
    for limit in (1, one, 4 * one):
        solutions, ledger = await search(
            method, PROBLEMS[0], budget=8, max_tokens_per_question=limit, max_new_tokens=2 * one
        )
        again, _ = await search(method, PROBLEMS[0], lm=FakeLM(delay=0.002), budget=8, max_tokens_per_question=limit,
                                max_new_tokens=2 * one)  # fmt: skip
        assert solutions == again
        assert ledger.cut_by_tokens == (method != "adaptive_best_of_n" or bool(ledger.cut_by_tokens))
        assert ledger.generated_tokens < max(limit + 2 * one, 2 * limit)
        assert len(solutions) <= len(whole)
    unlimited, ledger = await search(method, PROBLEMS[0], budget=8, max_tokens_per_question=10**6)
    assert (unlimited, ledger.cut_by_tokens) == (whole, 0)


async def test_best_of_n_under_a_limit_draws_the_same_solutions_only_fewer():
    whole, cost = await search("best_of_n", PROBLEMS[0], budget=16)
    part, ledger = await search("best_of_n", PROBLEMS[0], budget=16, max_tokens_per_question=cost.generated_tokens // 2)
    assert part == whole[: len(part)] and 4 <= len(part) < 16
    assert ledger.cut_by_tokens == 1
    timed, ledger = await search("best_of_n", PROBLEMS[0], budget=16, max_seconds_per_question=60.0)
    assert timed == whole and ledger.lm_calls == 16 and not ledger.cut_by_seconds


class SomeHang(FakeLM):
    """A request whose first seed is odd never ends."""

    async def generate(self, prompt, sampling, seeds, ledger):
        if seeds[0] % 2:
            await asyncio.sleep(3600)
        return await super().generate(prompt, sampling, seeds, ledger)


@pytest.mark.parametrize("method", SEARCHES)
async def test_spent_seconds_end_the_search_whatever_is_in_flight(method):
    started = time.monotonic()
    found = []
    for problem in PROBLEMS[:6]:
        solutions, ledger = await search(method, problem, lm=SomeHang(), budget=8, max_seconds_per_question=0.05)
        assert ledger.cut_by_seconds or solutions
        found += solutions
    assert time.monotonic() - started < 5
    assert len(asyncio.all_tasks()) == 1
    assert found or method not in ("best_of_n", "adaptive_best_of_n")


def test_a_cut_question_is_a_record_with_a_mark_and_no_error():
    class Hangs(FakeLM):
        async def generate(self, prompt, sampling, seeds, ledger):
            await asyncio.sleep(3600)

    for limits, mark in (({"max_seconds_per_question": 0.01}, "seconds"), ({"max_tokens_per_question": 1}, "tokens")):
        lm, records = (Hangs() if mark == "seconds" else FakeLM()), []
        setup = Setup(
            ARITHMETIC, BeamSearch(), lm, FakeRM(), SearchOptions(**FIXED, budget=4, **limits), ARITHMETIC.grader()
        )
        asyncio.run(evaluate(setup, PROBLEMS[:3], 3, records.append))
        assert [r["cut"] for r in records] == [mark] * 3
        assert [r["error"] for r in records] == [None] * 3
        assert [(r["output"], r["result"]["headline"]) for r in records] == [([], 0)] * 3


@pytest.mark.parametrize("method", SEARCHES)
async def test_a_wrong_number_of_scores_is_an_error_and_never_a_zero(method):
    class Short(FakeRM):
        async def score(self, problem, solutions, ledger):
            return [scores[:-1] for scores in await super().score(problem, solutions, ledger)]

    with pytest.raises(ModelError, match="scores for"):
        await search(method, PROBLEMS[0], rm=Short(), budget=4)


@pytest.mark.parametrize("method", SEARCHES)
async def test_endless_and_empty_steps_are_cut_and_marked(method):
    """One sample never comes to a separator, one writes nothing but empty steps."""
    script = {"": ["never ends...", "\n", "a\n", ""], "a\n": ["answer 1"]} | {"\n" * i: ["\n"] for i in range(1, 12)}
    lm, rm = ScriptedLM(script), ScriptedRM({"never ends...": 0.5, "\n": 0.5, "a\n": 0.9, "answer 1": 0.9})
    script["\n" * 12] = [""]
    options = SearchOptions(budget=8, steps_per_solution=4.0, depth=6)
    solutions = await solve(METHODS[method](), PROBLEM, TASK, lm, rm, options, Ledger(), TextGrader())
    assert solutions and {s.answer for s in solutions} <= {None, "1"}
    assert all(len(s.scores) == len(s.steps) for s in solutions)
    assert all(s.finish_reason == "length" for s in solutions if s.text == "never ends...")


@pytest.mark.parametrize("method", SEARCHES)
async def test_only_methods_that_count_steps_ask_for_the_steps_of_a_solution(method):
    unknown = {"steps_per_solution": None}
    if METHODS[method].counts_steps:
        with pytest.raises(UserError, match="steps_per_solution"):
            await search(method, PROBLEMS[0], budget=4, **unknown)
    else:
        known, _ = await search(method, PROBLEMS[0], budget=4)
        assert (await search(method, PROBLEMS[0], budget=4, **unknown))[0] == known


@pytest.mark.parametrize("method, bad", [
    ("best_of_n", {"budget": 0, "steps_per_solution": 8}), ("best_of_n", {"max_tokens_per_question": 0}),
    ("best_of_n", {"max_seconds_per_question": 0}), ("best_of_n", {"steps_per_solution": -1}),
    ("vanila_mcts", {"rollout": "random"}), ("mcts_alpha", {"leaves_in_flight": 0}), ("mcts_alpha", {"pb_c_base": 0}),
    ("lookahead", {"lookahead_steps": 0}), ("lookahead", {"lookahead_steps": 1.5}),
    ("rebase", {"rebase_temperature": 0}),
    ("particle_filtering", {"ess_threshold": 2}), ("adaptive_best_of_n", {"wave_size": 0}),
])  # fmt: skip
def test_what_no_method_can_use_is_refused(method, bad):
    with pytest.raises(UserError, match=next(iter(bad))):
        configure(method, bad)


def test_shares_of_the_limits_add_up_and_a_cut_is_marked_once():
    ledger = Ledger()
    limits = Limits.of(SearchOptions(budget=8, steps_per_solution=4.0, max_tokens_per_question=100), ledger)
    parts = [limits.share(4) for _ in range(4)]
    assert [(part.max_steps, part.max_tokens, part.deadline) for part in parts] == [(8, 25, limits.deadline)] * 4
    parts[0].count(tokens=25, steps=3)
    assert parts[0].spent() and not parts[1].spent()
    for part in parts:
        limits.take(part)
    assert (limits.steps, limits.steps_left, limits.tokens, limits.cut) == (3, 29, 25, "tokens")
    assert (ledger.cut_by_tokens, ledger.cut_by_seconds) == (1, 0)


def test_widths_below_the_budget():
    def shape(budget, cost=1):
        return SearchOptions(width=4, budget=budget, steps_per_solution=8).beams(cost)

    assert [shape(n) for n in (1, 2, 4, 6, 16)] == [(1, 1), (2, 1), (4, 1), (4, 1), (4, 4)]
    assert [shape(n, cost=2) for n in (1, 2, 4, 16)] == [(1, 1), (1, 1), (2, 1), (4, 2)]
    assert SearchOptions(width=3, num_sequence=5).beams() == (3, 5)
