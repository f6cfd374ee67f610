"""`solve` with the embedded models, in this process and by the command."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from reason import solve, solve_async, unload
from reason.common.errors import UserError
from reason.solve.background import BACKGROUND
from tests.fakes import ROOT

pytestmark = pytest.mark.slow
LM, RM = "local:openr-tiny-policy", "local:openr-tiny-prm"
QUESTIONS = ["23 + 9 * 3 + 68", "12 + 7 * 2 - 9", "40 - 3 * 8 + 5"]


@pytest.fixture(autouse=True, scope="module")
def freed():
    yield
    unload()


def test_the_embedded_models_solve_a_question() -> None:
    solved = solve(QUESTIONS[0], lm=LM, rm=RM, method="beam_search", budget=16)
    assert solved.answer == "118" and solved.confidence.share > 0.9
    assert solved.tree is not None and len(solved.tree) > 3


def test_models_are_loaded_once_and_freed() -> None:
    solve(QUESTIONS[0], lm=LM, rm=RM, budget=2)
    open_before = dict(BACKGROUND.models._opening)
    solve(QUESTIONS[1], lm=LM, rm=RM, budget=2)
    assert BACKGROUND.models._opening == open_before and len(open_before) == 2
    unload()
    assert not BACKGROUND.models._opening


def test_a_list_is_solved_as_its_questions_are_alone() -> None:
    together = solve(QUESTIONS, lm=LM, rm=RM, method="dvts", budget=8)
    alone = [solve(question, lm=LM, rm=RM, method="dvts", budget=8) for question in QUESTIONS]
    assert [[s.steps for s in solved.solutions] for solved in together] == [
        [s.steps for s in solved.solutions] for solved in alone
    ]
    assert [solved.answer for solved in together] == [solved.answer for solved in alone]


def test_the_oracle_may_score() -> None:
    assert solve(QUESTIONS[0], lm=LM, rm="oracle", method="beam_search").answer == "118"


def test_both_forms_give_the_same() -> None:
    expected = solve(QUESTIONS[0], lm=LM, rm=RM, method="beam_search")
    again = asyncio.run(solve_async(QUESTIONS[0], lm=LM, rm=RM, method="beam_search"))
    assert not isinstance(again, list)
    assert (again.answer, [s.steps for s in again.solutions]) == (
        expected.answer, [s.steps for s in expected.solutions],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lm", "message"),
    [
        ("local:openr-tiny-polcy", "did you mean 'openr-tiny-policy'?"),
        ("locale:openr-tiny-policy", "no kind of model 'locale', did you mean 'local'?"),
        ("local:openr-tiny-prm", "it cannot be a language model"),
    ],
)
def test_a_model_that_is_not_there_is_one_line(lm: str, message: str) -> None:
    with pytest.raises(UserError) as raised:
        solve(QUESTIONS[0], lm=lm)
    assert message in str(raised.value) and "\n" not in str(raised.value)


def test_the_command_prints_answer_votes_and_cost(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "reason.cli", "solve", *QUESTIONS[:2], "--lm", LM, "--rm", RM, "--tree"]
    done = subprocess.run([*command, "--method", "beam_search"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "  answer      118\n" in done.stdout and "headline 118" in done.stdout
    assert done.stdout.count("tokens generated") == 2 and "[stop]" in done.stdout
