"""Adaptive best-of-N stops when the vote can no longer change, and its vote is best-of-N's."""

import asyncio

import pytest

from envs.base_env import DataOptions, load_task
from reason.evaluation.evaluator import Setup, evaluate
from reason.guided_search.adaptive_best_of_n import AdaptiveBestOfN, adaptive_best_of_n
from reason.guided_search.best_of_n import BestOfN
from reason.guided_search.options import SearchOptions
from reason.inference.oracle import OracleRM
from tests.fakes import FakeLM, FakeRM
from tests.reason.guided_search.scripted import ScriptedLM, ScriptedRM, grow

ARITHMETIC = load_task("arithmetic")


async def test_a_majority_that_nothing_can_overtake_ends_it():
    lm = ScriptedLM({"": ["answer 1"]})
    solutions = await adaptive_best_of_n(grow(lm, None), n=8, wave_size=2)
    assert [n for _, n in lm.asked] == [2, 2, 2]  # a lead of 4 with 4 to come is not enough: a tie could be lost
    assert len(solutions) == 6


async def test_equal_answers_count_together_and_an_open_vote_goes_on():
    lm = ScriptedLM({"": ["answer 0.5", "answer 2", "answer 1/2", "answer 2", "answer 0.5", "answer 1/2"]})
    solutions = await adaptive_best_of_n(grow(lm, None), n=8, wave_size=3)
    assert len(solutions) == 8  # after 6 the lead is 2, and 2 are to come


async def test_weights_of_the_reward_model_decide_and_samples_without_an_answer_have_none():
    lm = ScriptedLM({"": ["answer 1", "no", "answer 2", "answer 1"]})
    rm = ScriptedRM({"answer 1": 0.9, "answer 2": 0.1, "no": 1.0})
    solutions = await adaptive_best_of_n(grow(lm, rm), n=5, wave_size=4)
    assert len(solutions) == 4  # 1.8 against 0.1, and one more can weigh 1


async def test_unbounded_scores_never_end_it():
    class LogRatio(ScriptedRM):
        card = type(ScriptedRM.card)(name="log", head="scripted", step_tag="", meaning="log_ratio")

    lm = ScriptedLM({"": ["answer 1"]})
    assert len(await adaptive_best_of_n(grow(lm, LogRatio({"answer 1": 5.0})), n=6, wave_size=2)) == 6


@pytest.mark.parametrize(
    "rm", [None, FakeRM(), OracleRM(ARITHMETIC, "oracle:noise=0.2")], ids=["none", "prm", "oracle"]
)
def test_its_headline_is_that_of_best_of_n_for_fewer_samples(rm):
    def run(method):
        setup = Setup(ARITHMETIC, method, FakeLM(), rm, SearchOptions(16, temperature=1.0), ARITHMETIC.grader())
        records = []
        asyncio.run(evaluate(setup, ARITHMETIC.problems(DataOptions(limit=40, level="3")), 8, records.append))
        return {r["id"]: (r["result"]["headline"], r["ledger"]["generated_tokens"]) for r in records}

    whole, adaptive = run(BestOfN()), run(AdaptiveBestOfN())
    assert {i: r[0] for i, r in whole.items()} == {i: r[0] for i, r in adaptive.items()}
    assert sum(r[1] for r in adaptive.values()) < 0.9 * sum(r[1] for r in whole.values())
