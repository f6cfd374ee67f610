"""`solve` with models that are open: typed results, votes, trees, lists, event loops, and what it refuses."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

import reason
from envs.arithmetic import TASK
from envs.base_env import Problem
from reason import solve, solve_async
from reason.common.errors import UserError
from reason.evaluation.evaluator import evaluate_problem
from reason.guided_search import METHODS, configure
from reason.inference.base import ModelError
from reason.solve.background import Background, OpenModels
from reason.solve.questions import problem_of
from reason.solve.result import Solved, failed
from tests.fakes import LM_CARD, ROOT, FakeLM, FakeRM

QUESTION = "23 + 9 * 3 + 68"
QUESTIONS = [QUESTION, "2 * 3 + 4 * 5", "9 - 4 + 7 * 2", QUESTION]
MCTS = {"vanila_mcts", "mcts_alpha"}


def ask(question: Any = QUESTION, **options: Any) -> Any:
    settings: dict[str, Any] = {"rm": FakeRM(), "method": "beam_search", "task": "arithmetic", "max_new_tokens": 400}
    return solve(question, FakeLM(), **settings | options)


def test_one_question() -> None:
    solved = ask()
    assert isinstance(solved, Solved)
    assert solved.question == QUESTION and solved.answer == "118" and solved.error is None
    assert set(solved.votes.values()) <= {solution.answer for solution in solved.solutions}
    assert list(solved.votes)[-1] == "headline" and solved.votes["headline"] == solved.answer
    assert sum(solved.shares.values()) == pytest.approx(1)
    assert list(solved.shares.values()) == sorted(solved.shares.values(), reverse=True)
    assert solved.confidence.share == solved.shares["118"] > 0.5
    assert solved.cost.generated_tokens > 0 and solved.cost.prm_calls > 0


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_solutions_and_a_tree_that_holds_them(method: str) -> None:
    solved = ask(method=method, budget=8)
    assert solved.solutions and solved.tree is not None
    texts = set()
    path: list[str] = []
    for depth, view in solved.tree.walk():
        path = [*path[:depth], view.step]
        if view.finish_reason is not None:
            texts.add("".join(path))
    assert {solution.text for solution in solved.solutions} <= texts
    assert (method in MCTS) == any(view.visits for _, view in solved.tree.walk())


def test_votes_are_those_of_an_evaluation() -> None:
    solved = ask(method="best_of_n")
    grader = TASK.grader()
    known = problem_of(QUESTION)
    problem = Problem(known.id, QUESTION, "118")

    async def evaluated() -> dict[str, Any]:
        from reason.evaluation.evaluator import Setup

        method, options = configure("best_of_n", {"budget": 16, "max_new_tokens": 400}, TASK, LM_CARD)
        return await evaluate_problem(Setup(TASK, method, FakeLM(), FakeRM(), options, grader), problem)

    record = asyncio.run(evaluated())
    assert [output["text"] for output in record["output"]] == [solution.text for solution in solved.solutions]
    assert {name: int(answer == "118") for name, answer in solved.votes.items()} == {
        name: record["result"][name] for name in solved.votes
    }


def test_without_a_reward_model_the_majority_votes() -> None:
    solved = ask(rm=None, method="best_of_n")
    assert list(solved.votes) == ["majority_vote", "headline"]
    answers = [solution.answer for solution in solved.solutions]
    assert solved.shares[str(solved.answer)] == pytest.approx(answers.count(solved.answer) / len(answers))
    assert all(view.score is None for _, view in solved.tree.walk())


@pytest.mark.parametrize("num_worker", [1, 64])
def test_a_list_is_solved_as_its_questions_are_alone(num_worker: int) -> None:
    together = ask(QUESTIONS, num_worker=num_worker)
    assert [solved.question for solved in together] == QUESTIONS
    for solved, question in zip(together, QUESTIONS, strict=True):
        alone = ask(question)
        assert (solved.solutions, solved.votes) == (alone.solutions, alone.votes)


def test_questions_of_a_list_are_in_flight_together() -> None:
    lm = FakeLM(delay=0.01)
    solve([f"{i} + 1 + 2" for i in range(20)], lm, method="best_of_n", budget=2, task="arithmetic", num_worker=8)
    assert lm.most_in_flight == 8


def test_a_list_may_be_empty() -> None:
    assert ask([]) == []


async def test_it_works_within_a_running_event_loop() -> None:
    assert ask().answer == "118"


async def test_the_asynchronous_form_gives_the_same_and_does_not_block() -> None:
    async def ticks() -> int:
        count = 0
        while not solving.done():
            await asyncio.sleep(0.001)
            count += 1
        return count

    lm = FakeLM(delay=0.05)
    solving = asyncio.ensure_future(
        solve_async(QUESTION, lm, FakeRM(), "beam_search", task="arithmetic", max_new_tokens=400)
    )
    assert await ticks() > 1
    solved, again = await solving, ask()
    assert isinstance(solved, Solved) and (solved.solutions, solved.votes) == (again.solutions, again.votes)


def test_the_seed_says_what_is_drawn() -> None:
    first, second = ask(method="best_of_n", seed=1), ask(method="best_of_n", seed=2)
    assert [s.text for s in first.solutions] != [s.text for s in second.solutions]
    assert first.solutions == ask(method="best_of_n", seed=1).solutions


def test_a_question_that_fails_does_not_stop_a_list() -> None:
    lm = FakeLM(failing=[QUESTIONS[1]])
    results = solve(QUESTIONS[:3], lm, FakeRM(), task="arithmetic")
    assert [solved.error for solved in results] == [None, "told to fail", None]
    assert results[1].answer is None and results[2].answer is not None
    with pytest.raises(ModelError, match="told to fail"):
        solve(QUESTIONS[1], lm, FakeRM(), task="arithmetic")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "beam_serach"}, "no method 'beam_serach', did you mean 'beam_search'?"),
        ({"rm": None}, "beam_search is guided by a reward model: give rm"),
        ({"budget": 0}, "budget must be at least 1, not 0"),
        ({"budget": 2.5}, "budget must be a whole number, not 2.5"),
        ({"rebase_temperature": 0.1}, "rebase_temperature is an option of rebase, not of beam_search"),
        ({"method": "best_of_n", "tree_max_width": 2}, "best_of_n has no use for tree_max_width"),
        ({"temperatur": 0.1}, "no option of beam_search 'temperatur', did you mean 'temperature'?"),
        ({"num_sequence": 4}, "budget and num_sequence say the same in two ways"),
        ({"task": "arithmetics"}, "no task 'arithmetics'"),
        ({"num_worker": 0}, "num_worker must be a whole number of at least 1, not 0"),
        ({"question": ""}, "the question is empty"),
        ({"question": " \n"}, "the question is empty"),
        ({"question": ["1 + 1", ""]}, "question 2 of 2 is empty"),
        ({"question": [1]}, "question 1 of 1 must be text, not int"),
        ({"is_few_shot": True}, "task 'arithmetic' has no worked examples"),
    ],
)
def test_bad_input_is_one_clear_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as raised:
        ask(**options)
    assert "\n" not in str(raised.value)


def test_num_sequence_may_be_given_instead_of_a_budget() -> None:
    assert len(ask(method="best_of_n", budget=None, num_sequence=3).solutions) == 3


def test_what_a_model_writes_is_data() -> None:
    class Hostile(FakeLM):
        async def generate(self, *args: Any, **options: Any) -> list[Any]:
            samples = await super().generate(*args, **options)
            return [type(s)("\x1b[31m<script>alert(1)</script> = 7", s.num_tokens, s.finish_reason) for s in samples]

    question = "<img src=x> 1 + 1"
    solved = solve(question, Hostile(), FakeRM2(), task="arithmetic", budget=2)
    assert solved.tree is not None
    shown = solved._repr_html_() + solved.tree._repr_html_() + failed(question, "<b>no</b>")._repr_html_()
    assert "<script>" not in shown and "<img" not in shown and "<b>no" not in shown
    assert "&lt;script&gt;" in shown
    assert "\x1b" not in str(solved.tree) + repr(solved) + repr(solved.tree)


class FakeRM2(FakeRM):
    """Scores any text."""

    async def score(self, problem: Problem, solutions: Sequence[Sequence[str]], ledger: Any) -> list[list[float]]:
        return [[0.5] * len(steps) for steps in solutions]


def test_reprs_say_what_matters() -> None:
    solved = ask()
    assert repr(solved).startswith(f"Solved('{QUESTION}': answer '118', confidence ")
    assert "118" in solved._repr_html_() and "tokens generated" in repr(solved)
    assert str(solved.tree).count("\n") + 2 == len(solved.tree)
    assert repr(solved.tree) == f"TreeView('', {len(solved.tree)} steps)"


async def test_a_model_is_opened_once_however_many_ask_and_not_kept_where_it_fails() -> None:
    class Model:
        closed = False

        async def close(self) -> None:
            self.closed = True

    opened: list[Model] = []

    async def opening() -> Model:
        await asyncio.sleep(0.01)
        opened.append(Model())
        return opened[-1]

    async def failing() -> Model:
        raise UserError("no such folder")

    models = OpenModels()
    first, second = await asyncio.gather(models.get("a", opening), models.get("a", opening))
    assert first is second and len(opened) == 1
    for _ in range(2):
        with pytest.raises(UserError, match="no such folder"):
            await models.get("b", failing)
    await models.close()
    assert first.closed
    assert await models.get("a", opening) is not first


def test_what_is_interrupted_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    background, cancelled = Background(), []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    def interrupt(self: Any, timeout: float | None = None) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("concurrent.futures.Future.result", interrupt)
        with pytest.raises(KeyboardInterrupt):
            background.run(work())
    background.run(asyncio.sleep(0.01))
    assert cancelled == [True]


def test_importing_it_is_light() -> None:
    code = "import sys; from reason import solve; print({'numpy', 'yaml', 'aiohttp', 'asyncio'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    assert callable(reason.solve)
