"""The evaluator with models in this process."""

import asyncio
import json

import pytest

from envs.base_env import DataOptions, Verdict, load_task
from reason.evaluation.evaluator import Setup, evaluate
from reason.guided_search import METHODS
from reason.guided_search.options import SearchOptions
from reason.reranking import MAJORITY, VOTES
from tests.fakes import FakeLM, FakeRM

TASK = load_task("arithmetic")
PROBLEMS = TASK.problems(DataOptions(limit=30))


def run(method, problems=PROBLEMS, num_worker=8, rm=None, lm=None, grader=None, task=TASK, **options):
    setup = Setup(
        task, METHODS[method](), lm or FakeLM(), rm, SearchOptions(depth=10, **options), grader or task.grader()
    )
    records = []
    asyncio.run(evaluate(setup, problems, num_worker, records.append))
    return records


def answers(records):
    return {r["id"]: (r["result"], r["output"]) for r in records}


@pytest.mark.parametrize(
    "method, options", [("cot", {}), ("best_of_n", {"num_sequence": 4}), ("beam_search", {"num_sequence": 2}),
                        ("vanila_mcts", {"num_sequence": 3})]
)  # fmt: skip
def test_one_at_a_time_and_all_at_once_give_the_same_answers(method, options):
    rm = None if method == "cot" else FakeRM()
    alone = run(method, num_worker=1, rm=rm, temperature=1.0, **options)
    together = run(method, num_worker=64, rm=rm, temperature=1.0, lm=FakeLM(delay=0.01), **options)
    assert answers(alone) == answers(together)
    assert {r["id"] for r in alone} == {p.id for p in PROBLEMS}
    assert not any(r["error"] for r in alone)


def test_never_more_questions_in_flight_than_workers_and_no_barrier():
    lm = FakeLM(delay=0.02)
    records = run("cot", num_worker=5, lm=lm)
    assert lm.most_in_flight == 5
    assert [r["id"] for r in records] != [p.id for p in PROBLEMS]  # order of completion


def test_a_failing_question_is_a_record_and_the_others_go_on():
    records = run("best_of_n", lm=FakeLM(failing=[PROBLEMS[3].question]), num_sequence=2)
    failed = [r for r in records if r["error"]]
    assert [r["id"] for r in failed] == [PROBLEMS[3].id]
    assert failed[0]["error"] == {"type": "ModelError", "message": "told to fail"}
    assert failed[0]["result"] is None and failed[0]["output"] == []
    assert len(records) == len(PROBLEMS)


def test_an_unexpected_exception_keeps_its_traceback():
    class Broken(FakeLM):
        async def generate(self, *args):
            raise KeyError("no such thing")

    record = run("cot", problems=PROBLEMS[:1], lm=Broken())[0]
    assert record["error"]["type"] == "KeyError"
    assert "no such thing" in record["error"]["traceback"]


def test_votes_are_the_same_for_every_question_of_a_run():
    with_rm = run("vanila_mcts", rm=FakeRM(), num_sequence=2, temperature=1.0)
    assert {tuple(r["result"]) for r in with_rm} == {(*VOTES, "headline", "coverage", "total_completion_tokens")}
    without = run("best_of_n", num_sequence=2)
    assert {tuple(r["result"]) for r in without} == {(MAJORITY, "headline", "coverage", "total_completion_tokens")}


def test_tokens_of_a_question_add_up_and_a_truth_telling_scorer_finds_a_right_solution():
    records = run("best_of_n", rm=FakeRM(), num_sequence=8, temperature=1.0)
    for r in records:
        assert r["result"]["total_completion_tokens"] == sum(o["completion_tokens"] for o in r["output"])
        assert r["result"]["total_completion_tokens"] == r["ledger"]["generated_tokens"]
        if any(min(o["value"]) > 0.5 for o in r["output"]):  # a solution without an error is among them
            assert r["result"]["prm_min_max"] == 1
        assert r["result"]["coverage"] == int(any(o["verdict"] for o in r["output"]))
        assert json.loads(json.dumps(r)) == r


class CountingGrader:
    """Counts comparisons with the gold; undecided about every one of them."""

    def __init__(self):
        self.inner, self.calls = TASK.grader(), []

    async def equal(self, gold, answer):
        self.calls.append((gold, answer))
        return await self.inner.equal(gold, answer)

    async def close(self):
        pass


def test_gold_is_graded_once_for_each_distinct_answer():
    grader = CountingGrader()
    problem = PROBLEMS[0]
    record = run("best_of_n", problems=[problem], num_sequence=16, temperature=1.0, grader=grader)[0]
    distinct = {o["answer"] for o in record["output"]} - {None}
    against_gold = [answer for gold, answer in grader.calls if gold == problem.answer and answer in distinct]
    assert 1 < len(distinct) < 16
    assert len(against_gold) <= 2 * len(distinct)  # once for the gold; the gold may also stand for a cluster


def test_an_undecided_answer_is_counted_and_is_not_right():
    class Undecided(CountingGrader):
        async def equal(self, gold, answer):
            return Verdict(None, "timeout")

    record = run("cot", problems=PROBLEMS[:1], grader=Undecided())[0]
    assert record["undecided"] == 1 and record["result"]["headline"] == 0 and record["output"][0]["verdict"] is None
    assert record["error"] is None


def test_ctrl_c_stops_all_questions():
    lm = FakeLM(delay=60)
    setup = Setup(TASK, METHODS["cot"](), lm, None, SearchOptions(), TASK.grader())

    async def interrupted():
        running = asyncio.create_task(evaluate(setup, PROBLEMS, 8, lambda record: None))
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        return [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]

    assert asyncio.run(interrupted()) == []
