"""Questions that cannot be asked are found when a run starts."""

import pytest

from envs.base_env import Problem
from reason.common.errors import UserError
from reason.inference.askable import askable
from reason.inference.base import ModelError, Sample, Unavailable
from reason.inference.prompting import render
from reason.model_cards.card import LMCard


class CountingLM:
    """An LM with a context of 20 tokens, each a word or a byte of one; it says which prompts it was asked."""

    card = LMCard(name="counting", prompt="{question}:", step_separator="\n")

    def __init__(self, context=20, error=ModelError):
        self.details, self.error, self.asked = {"context_length": context}, error, []

    async def generate(self, prompt, sampling, seeds, ledger):
        self.asked.append(prompt)
        if len(prompt.split()) + sampling.max_tokens > self.details["context_length"]:
            raise self.error(f"the prompt has {len(prompt.split())} tokens")
        return [Sample("x", 1, "length")]


def problems(*questions):
    return [Problem(f"p{i}", question, "1") for i, question in enumerate(questions)]


async def ask(lm, *questions):
    kept = await askable(problems(*questions), lambda problem: render(lm.card, problem.question), lm)
    return [problem.question for problem in kept]


async def test_questions_that_can_be_asked_stay_and_cost_nothing(capsys):
    lm = CountingLM()
    assert await ask(lm, "9 + 3", "\U0001f600") == ["9 + 3", "\U0001f600"]
    assert not lm.asked and not capsys.readouterr().err


@pytest.mark.parametrize("half", ["9 + 3 \ud83d", "\udc00", "a\udfffb"])
async def test_half_a_character(half, capsys):
    assert await ask(CountingLM(), "9 + 3", half) == ["9 + 3"]
    said = capsys.readouterr().err
    assert said.startswith("note: 1 of 2 questions cannot be asked and are left out, such as p1: it holds half a char")
    assert said.count("\n") == 1


async def test_a_question_longer_than_the_context(capsys):
    lm = CountingLM()
    long, fits = "a " * 30, "a long word: " + "a" * 30
    assert await ask(lm, "9", long, fits, long) == ["9", fits]
    assert len(lm.asked) == 3
    assert "2 of 4 questions cannot be asked and are left out, such as p1: the prompt has 31" in capsys.readouterr().err


async def test_services_that_are_away_leave_no_question_out():
    long = "a " * 30
    assert await ask(CountingLM(error=Unavailable), long) == [long]


async def test_nothing_is_left_or_cannot_be_laid_out():
    with pytest.raises(UserError, match="2 of 2 questions cannot be asked"):
        await ask(CountingLM(), "\ud83d", "\ud83d")
    lm = CountingLM()
    lm.card = LMCard(name="bare", step_separator="\n")
    with pytest.raises(UserError, match="neither a prompt layout nor a chat template"):
        await ask(lm, "9")
