"""The generative judge: what it is asked, what becomes a score, what it costs, and what is an error."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import pytest

from envs.base_env import Problem
from reason.common.errors import UserError
from reason.inference.base import ModelError, Sample, Sampling
from reason.inference.fastchat import FastChatLM
from reason.inference.judge import JudgeRM, judge_prompt, lm_card, sigmoid
from reason.inference.ledger import Ledger
from reason.model_cards import card as cards
from reason.model_cards.card import LMCard, PRMCard, Rationale, SelfTest

CARD = PRMCard("judge", "generative", question="{question}\n", step="{step}\n", ask="ok?", good="Yes", bad="No")
REASONING = replace(CARD, rationale=Rationale("\n", samples=4, max_tokens=9))
PROBLEM = Problem("p", "1 + 2 + 3", "6")
STEPS = ["1 + 2 = 3; 3 + 3\n", "3 + 3 = 7"]


@dataclass
class ScriptedLM:
    """P("Yes") and P("No") by the end of the prompt; the k-th rationale of a request is the k-th of `rationales`."""

    probabilities: dict[str, tuple[float, float]]
    rationales: Sequence[str] = ()
    card: ClassVar[LMCard] = LMCard("scripted")
    details: ClassVar[dict[str, Any]] = {}
    asked: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)

    async def logprobs_of(self, prompt: str, tokens: Sequence[str], ledger: Ledger) -> list[float]:
        assert tuple(tokens) == ("Yes", "No")
        self.asked.append(prompt)
        ledger.lm_calls += 1
        ledger.prompt_tokens += len(prompt)
        ledger.generated_tokens += 1
        (found,) = [values for ending, values in self.probabilities.items() if prompt.endswith(ending)]
        return [math.log(value) for value in found]

    async def close(self) -> None: ...

    async def generate(
        self, prompt: str | Sequence[int], sampling: Sampling, seeds: Sequence[int], ledger: Ledger
    ) -> list[Sample]:
        assert (sampling.stop, sampling.max_tokens, sampling.temperature) == (("\n",), 9, 1.0)
        self.seeds += seeds
        ledger.lm_calls += 1
        ledger.prompt_tokens += len(prompt)
        ledger.generated_tokens += sum(map(len, self.rationales))
        return [Sample(text, len(text), "stop") for text in self.rationales]


def test_the_prompt_is_the_cards() -> None:
    assert judge_prompt(CARD, "1 + 2 + 3", STEPS) == "1 + 2 + 3\n1 + 2 = 3; 3 + 3\n3 + 3 = 7\nok?"
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}<assistant>"
    card = replace(
        CARD, step="Step {n}: {step}\n", ask="step {n}?", chat=True, system="S", chat_template=template
    )  # fmt: skip
    expected = "<system>S<user>{step}\nStep 1: {n}\nStep 2: b\nstep 2?<assistant>"
    assert judge_prompt(card, "{step}", ["{n}", "b"]) == expected, "a model's text is no layout"
    with pytest.raises(ModelError, match="chat template"):
        judge_prompt(replace(card, chat_template=""), "q", ["s"])


async def test_a_score_is_the_share_of_yes_one_a_step() -> None:
    lm = ScriptedLM({"3 + 3\nok?": (0.6, 0.2), "= 7\nok?": (0.1, 0.3)})
    rm, ledger = JudgeRM(CARD, lm, {}), Ledger()
    scores = await rm.score(PROBLEM, [STEPS, STEPS[:1], []], ledger)
    assert scores == [pytest.approx([0.75, 0.25]), pytest.approx([0.75]), []]
    assert len(lm.asked) == 2, "a step that two solutions share is judged once"
    computed = sum(len(prompt) + 1 for prompt in lm.asked)
    assert (ledger.prm_calls, ledger.prm_tokens_computed, ledger.prm_tokens_reused) == (2, computed, 0)
    assert (ledger.lm_calls, ledger.prompt_tokens, ledger.generated_tokens) == (0, 0, 0)
    again = Ledger()
    assert await rm.score(PROBLEM, [STEPS], again) == [scores[0]]
    assert (again.prm_calls, again.prm_tokens_computed, again.prm_tokens_reused) == (0, 0, computed)


async def test_rationales_are_averaged() -> None:
    """Two of four are equal, and one comes to no verdict: (2 x 0.75 + 0.25) / 3."""
    lm = ScriptedLM({"ok?a\n": (0.6, 0.2), "ok?b\n": (0.1, 0.3)}, ["a\n", "b\n", "a\n", "no end"])
    rm, ledger = JudgeRM(REASONING, lm, {}, seed=1), Ledger()
    assert await rm.score(PROBLEM, [STEPS[:1]], ledger) == [pytest.approx([1.75 / 3])]
    assert ledger.prm_calls == 3
    assert len(set(lm.seeds)) == 4
    first = list(lm.seeds)
    await JudgeRM(REASONING, lm, {}, seed=1).score(Problem("other", PROBLEM.question, ""), [STEPS[:1]], Ledger())
    assert lm.seeds == first * 2, "a score depends on question, steps and seed alone"
    await JudgeRM(REASONING, lm, {}, seed=2).score(PROBLEM, [STEPS[:1]], Ledger())
    assert not set(first) & set(lm.seeds[8:])


async def test_a_rationale_without_a_verdict_leaves_the_others() -> None:
    """After "b" the judge says neither: (2 x 0.75 + 0.25) / 3; with three such rationales it is an error."""
    probabilities = {"ok?a\n": (0.6, 0.2), "ok?b\n": (1e-5, 1e-5), "ok?c\n": (0.1, 0.3)}
    rm = JudgeRM(REASONING, ScriptedLM(probabilities, ["a\n", "b\n", "a\n", "c\n"]), {})
    assert await rm.score(PROBLEM, [STEPS[:1]], Ledger()) == [pytest.approx([1.75 / 3])]
    rm = JudgeRM(REASONING, ScriptedLM(probabilities, ["a\n", "b\n", "b\n", "b\n"]), {})
    with pytest.raises(ModelError, match="only 1 of 4 rationales"):
        await rm.score(PROBLEM, [STEPS[:1]], Ledger())


async def test_no_verdict_is_an_error_and_no_score() -> None:
    rm, ledger = JudgeRM(CARD, ScriptedLM({"ok?": (1e-5, 1e-6)}), {}), Ledger()
    with pytest.raises(ModelError, match="no verdict"):
        await rm.score(PROBLEM, [STEPS], ledger)
    assert ledger.prm_tokens_computed > 0, "what it cost is counted"
    lm = ScriptedLM({"\n": (0.5, 0.5)}, ["a\n", "runs on", "", "and on"])
    with pytest.raises(ModelError, match="only 1 of 4 rationales"):
        await JudgeRM(REASONING, lm, {}).score(PROBLEM, [STEPS], Ledger())


async def test_the_cards_self_test_warns(capsys: pytest.CaptureFixture[str]) -> None:
    card = replace(CARD, self_test=SelfTest("q", ("a", "b"), ("a", "c")))
    for good, warned in ((0.9, False), (0.3, True)):
        lm = ScriptedLM({"a\nok?": (0.8, 0.1), "b\nok?": (good, 1 - good), "c\nok?": (0.5, 0.5)})
        assert await JudgeRM(card, lm, {}).self_test() is not warned
        assert ("self-test" in capsys.readouterr().err) is warned
    assert await JudgeRM(CARD, lm, {}).self_test() is None


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ({}, "no log-probabilities"),
        ({"logprobs_of": []}, "malformed"),
        ({"logprobs_of": [[-1.0]]}, "malformed"),
        ({"logprobs_of": [[-1.0, "x"]]}, "malformed"),
        ({"logprobs_of": [[-1.0, 0.5]]}, "malformed"),
        ({"logprobs_of": [[-1.0, math.nan]]}, "malformed"),
        ({"logprobs_of": None}, "malformed"),
    ],
)
async def test_a_worker_that_tells_no_probabilities_is_an_error(reply: dict[str, Any], message: str) -> None:
    class Pool:
        model = "judge"

        async def post(self, route: str, payload: dict[str, Any], home: str = "") -> dict[str, Any]:
            assert payload["logprobs_of"] == ["Yes", "No"]
            return {"usage": {"prompt_tokens": 3}} | reply

    lm = FastChatLM(lm_card(CARD), {}, Pool())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=message):
        await lm.logprobs_of("prompt", ["Yes", "No"], Ledger())


def test_sigmoid() -> None:
    assert sigmoid(0) == 0.5
    assert sigmoid(1000) == 1
    assert 0 <= sigmoid(-1000) < 1e-300
    assert sigmoid(-40) == pytest.approx(math.exp(-40))


def test_judge_cards() -> None:
    data: dict[str, Any] = {"kind": "prm", "name": "j", "head": "generative", "good": "Yes", "bad": "No"}
    card = cards.from_dict(data | {"rationale": {"end": "x"}}, "here")
    assert isinstance(card, PRMCard) and card.rationale == Rationale("x")
    rationales: list[Any] = [{"end": ""}, {"samples": 2}, {"end": "x", "samples": 0}, {"stop": "x"}, 3]
    wrongs: list[dict[str, Any]] = [{"good": ""}, {"bad": "Yes"}, *({"rationale": value} for value in rationales)]
    for wrong in wrongs:
        with pytest.raises(UserError, match="here"):
            cards.from_dict(data | wrong, "here")
    assert cards.find("openr-tiny-judge", "lm") == cards.find("openr-tiny-judge", "prm"), "an LM worker serves it"
    with pytest.raises(UserError, match="kind lm"):
        cards.find("openr-tiny-policy", "prm", "openr-tiny-policy")
    with pytest.raises(UserError, match="kind prm"):
        cards.find("openr-tiny-prm", "lm", "openr-tiny-prm")
