"""The methods by name: what each asks of the models, and greedy decoding."""

from dataclasses import dataclass

import pytest

from envs.base_env import DataOptions, load_task
from reason.common.errors import UserError
from reason.common.options import option
from reason.evaluation.arguments import check, parser
from reason.guided_search import METHODS, configure, solve
from reason.guided_search.best_of_n import BestOfN, Cot
from reason.guided_search.method import Method
from reason.guided_search.options import SearchOptions
from reason.guided_search.rebase import Rebase
from reason.inference.ledger import Ledger
from reason.model_cards.card import LMCard
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
    solutions = await solve(Cot(), PROBLEM, TASK, lm, None, options, Ledger())
    assert [s.answer for s in solutions] == ["1"]
    assert (lm.sampling.temperature, lm.sampling.top_k, lm.sampling.top_p) == (0.0, -1, 1.0)


async def test_best_of_n_is_one_request_scored_in_one_request():
    lm = Recorder({"": ["a\n", "answer 2"], "a\n": ["answer 1"]})
    rm = ScriptedRM({"a\n": 0.4, "answer 1": 0.6, "answer 2": 0.5})
    ledger = Ledger()
    solutions = await solve(BestOfN(), PROBLEM, TASK, lm, rm, SearchOptions(num_sequence=2), ledger)
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
        await solve(METHODS[method](), problem, arithmetic, Noting(), FakeRM(), options, Ledger())
    assert continued == {method not in WHOLE}
    assert any(prompt.startswith(text) for prompt in prompts for text in texts) == (method not in WHOLE)


def test_options_come_from_keywords_then_the_card_then_the_task():
    task, card = (
        load_task("arithmetic"),
        LMCard(name="x", prompt="{question}", sampling={"temperature": 0.3, "top_k": 20}),
    )
    method, options = configure("rebase", {"rebase_temperature": 0.5, "tree_max_depth": 7, "top_k": 5}, task, card)
    assert method == Rebase(rebase_temperature=0.5)
    assert (options.depth, options.temperature, options.top_k, options.width) == (7, 0.3, 5, task.width)
    assert configure("cot", {"temperature": 1.0, "budget": 8}, task, card)[1].temperature == 0.0


@pytest.mark.parametrize("method, values, message", [
    ("beam", {}, "no method 'beam', did you mean 'beam_search'?"),
    ("beam_search", {"rebase_temperature": 1.0}, "rebase_temperature is an option of rebase, not of beam_search"),
    ("dvts", {"prior": "count"}, "prior is an option of vanila_mcts and mcts_alpha, not of dvts"),
    ("rebase", {"rebase_temprature": 1.0}, "no option of rebase 'rebase_temprature', did you mean 'rebase_temp"),
    ("best_of_n", {"buget": 4}, "no option of best_of_n 'buget', did you mean 'budget'?"),
])  # fmt: skip
def test_an_option_that_the_method_does_not_have_is_named(method, values, message):
    with pytest.raises(UserError) as caught:
        configure(method, values)
    assert str(caught.value).startswith(message)


async def test_a_new_method_is_a_class_and_a_line(monkeypatch, capsys):
    """Its flags, their help, the note on flags of others and config.json's options follow from the class."""

    @dataclass(frozen=True)
    class Twice(Method):
        """N solutions, twice."""

        times: int = option(2, "how often", least=1)

        async def search(self, tree):
            for _ in range(self.times):
                await tree.sample_solutions(tree.options.n)
            return tree.solutions()

    monkeypatch.setitem(METHODS, "twice", Twice)
    p = parser()
    assert "twice:\n  --times TIMES" in p.format_help()
    args = p.parse_args(["--LM", "x", "--RM", "y", "--method", "twice", "--times", "3", "--wave_size", "2"])
    check(args)
    assert capsys.readouterr().err == "note: twice has no use for --wave_size\n"
    method, options = configure("twice", {"times": args.times, "num_sequence": 2})
    lm = ScriptedLM({"": ["answer 1"]})
    assert len(await solve(method, PROBLEM, TASK, lm, None, options, Ledger())) == 6
