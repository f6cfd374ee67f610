"""The methods by name: what each asks of the models, and greedy decoding."""

import pytest

from envs.base_env import DataOptions, load_task
from reason.guided_search import METHODS, solve
from reason.guided_search.options import SearchOptions
from reason.inference.ledger import Ledger
from tests.fakes import FakeLM, FakeRM
from tests.reason.guided_search.scripted import PROBLEM, TASK, ScriptedLM, ScriptedRM

WHOLE = {"cot", "best_of_n", "adaptive_best_of_n"}  # methods of whole solutions


class Recorder(ScriptedLM):
    """Remembers how it was asked to sample."""

    async def generate(self, prompt, sampling, seeds, ledger):
        self.sampling = sampling
        return await super().generate(prompt, sampling, seeds, ledger)


async def test_cot_is_one_greedy_solution_whatever_the_options_say():
    lm = Recorder({"": ["answer 1", "answer 2"]})
    options = SearchOptions(num_sequence=8, temperature=1.0, top_k=5, top_p=0.5)
    solutions = await solve("cot", PROBLEM, TASK, lm, None, options, Ledger())
    assert [s.answer for s in solutions] == ["1"]
    assert (lm.sampling.temperature, lm.sampling.top_k, lm.sampling.top_p) == (0.0, -1, 1.0)


async def test_best_of_n_is_one_request_scored_in_one_request():
    lm = Recorder({"": ["a\n", "answer 2"], "a\n": ["answer 1"]})
    rm = ScriptedRM({"a\n": 0.4, "answer 1": 0.6, "answer 2": 0.5})
    ledger = Ledger()
    solutions = await solve("best_of_n", PROBLEM, TASK, lm, rm, SearchOptions(num_sequence=2), ledger)
    assert [s.scores for s in solutions] == [(0.4, 0.6), (0.5,)]
    assert (ledger.lm_calls, ledger.prm_calls) == (1, 1)
    assert "\n" not in lm.sampling.stop


def test_tree_methods_need_a_reward_model():
    without = {name for name, method in METHODS.items() if not method.needs_rm}
    assert without == WHOLE


@pytest.mark.parametrize("method", METHODS)
async def test_an_engine_is_told_what_no_prompt_will_begin_with(method):
    """Whole solutions; of steps it cannot be known."""

    class Noting(FakeLM):
        async def generate(self, prompt, sampling, seeds, ledger):
            samples = await super().generate(prompt, sampling, seeds, ledger)
            continued.add(sampling.continued)
            prompts.append(prompt)
            texts.extend(prompt + sample.text for sample in samples)
            return samples

    continued: set[bool] = set()
    prompts: list[str] = []
    texts: list[str] = []
    arithmetic = load_task("arithmetic")
    options = SearchOptions(num_sequence=4, depth=10, temperature=1.0, steps_per_solution=8.0)
    for problem in arithmetic.problems(DataOptions(limit=3)):
        await solve(method, problem, arithmetic, Noting(), FakeRM(), options, Ledger())
    assert continued == {method not in WHOLE}
    assert any(prompt.startswith(text) for prompt in prompts for text in texts) == (method not in WHOLE)
