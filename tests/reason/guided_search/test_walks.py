"""K leaves in flight: the same tree whatever the order of the replies; K = 1 is the sequential algorithm."""

import asyncio
import random

import pytest

from envs.base_env import DataOptions, load_task
from reason.guided_search import configure, solve
from reason.guided_search.mcts import VanilaMCTS
from reason.guided_search.options import SearchOptions
from reason.inference.ledger import Ledger
from tests.fakes import FakeLM, FakeRM

TASK = load_task("arithmetic")
PROBLEMS = TASK.problems(DataOptions(limit=3))


class Jittery(FakeLM):
    """Replies after a time that has nothing to do with the request; remembers what was asked."""

    def __init__(self, delay: float) -> None:
        super().__init__()
        self.longest, self.asked = delay, list[tuple[str, tuple[int, ...]]]()

    async def generate(self, prompt, sampling, seeds, ledger):
        self.asked.append((prompt, tuple(seeds)))
        self.in_flight += 1
        self.most_in_flight = max(self.in_flight, self.most_in_flight)
        await asyncio.sleep(self.longest * random.random())
        self.in_flight -= 1
        return await super().generate(prompt, sampling, seeds, ledger)


class JitteryRM(FakeRM):
    async def score(self, problem, solutions, ledger):
        await asyncio.sleep(0.003 * random.random())
        return await super().score(problem, solutions, ledger)


async def run(method, delay, **options):
    lm, found = Jittery(delay), []
    for problem in PROBLEMS:
        ledger = Ledger()
        rm = JitteryRM() if delay else FakeRM()
        usual = {"depth": 10, "temperature": 1.0, "steps_per_solution": 8.0}
        search, shared = configure(method, usual | options)
        found.append((await solve(search, problem, TASK, lm, rm, shared, ledger), ledger.generated_tokens))
    return found, lm


BOTH = [{"num_sequence": 5}, {"budget": 16}, {"budget": 16, "back_up": "max", "prior": "logprob"}]


@pytest.mark.parametrize("method, options", [
    ("vanila_mcts", {"budget": 8, "rollout": "full"}), ("mcts_alpha", {"budget": 8}),
    *((method, options) for method in ("vanila_mcts", "mcts_alpha") for options in BOTH),
])  # fmt: skip
@pytest.mark.parametrize("k", [1, 4])
async def test_the_tree_does_not_depend_on_when_replies_come(method, options, k):
    at_once, calm = await run(method, 0.0, leaves_in_flight=k, **options)
    for _ in range(2):
        again, jittery = await run(method, 0.004, leaves_in_flight=k, **options)
        assert again == at_once
        if method == "vanila_mcts":
            assert jittery.asked == calm.asked  # in the same order
        else:  # its trees do not wait for each other
            assert sorted(jittery.asked) == sorted(calm.asked)
    assert jittery.most_in_flight > 1 or k == 1


async def test_one_leaf_in_flight_is_one_request_at_a_time():
    _, lm = await run("vanila_mcts", 0.001, num_sequence=4)
    assert lm.most_in_flight == 1


async def test_k_leaves_are_in_flight_and_find_as_much():
    alone, _ = await run("vanila_mcts", 0.0, num_sequence=8)
    together, lm = await run("vanila_mcts", 0.002, num_sequence=8, leaves_in_flight=8)
    assert 4 <= lm.most_in_flight <= 8
    assert [len(s) for s, _ in together] == [len(s) for s, _ in alone] == [8] * len(PROBLEMS)
    assert sum(tokens for _, tokens in together) < 1.5 * sum(tokens for _, tokens in alone)


async def test_a_failing_request_fails_the_question_and_leaves_nothing_running():
    from reason.inference.base import ModelError

    class Failing(Jittery):
        async def generate(self, prompt, sampling, seeds, ledger):
            if len(self.asked) == 5:
                raise ModelError("told to fail")
            return await super().generate(prompt, sampling, seeds, ledger)

    with pytest.raises(ModelError, match="told to fail"):
        options = SearchOptions(num_sequence=8, temperature=1.0)
        await solve(VanilaMCTS(leaves_in_flight=4), PROBLEMS[0], TASK, Failing(0.005), FakeRM(), options, Ledger())
    await asyncio.sleep(0.02)
    assert len(asyncio.all_tasks()) == 1
