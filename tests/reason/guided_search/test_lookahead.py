"""Lookahead search on a tree computed by hand."""

from reason.guided_search.lookahead import lookahead
from reason.inference.oracle import OracleRM
from tests.reason.guided_search.scripted import MAZE, PROBLEM, TASK, ScriptedLM, ScriptedRM, grow

SCRIPT = {
    "": ["a\n", "b\n"],
    "a\n": ["a1\n", "answer 1", "answer 2"],  # the first of each is what the rollout writes
    "b\n": ["b1\n", "answer 3", "answer 4"],
    "a\na1\n": ["a2\n"],
    "b\nb1\n": ["answer 5"],
}
SCORES = {
    "a\n": 0.9, "b\n": 0.5, "a1\n": 0.1, "b1\n": 0.8, "a2\n": 0.95, "answer 5": 0.2,
    "answer 1": 0.5, "answer 2": 0.5, "answer 3": 0.6, "answer 4": 0.7,
}  # fmt: skip


async def test_a_step_is_worth_the_score_at_the_end_of_its_rollout():
    lm = ScriptedLM(SCRIPT)
    tree = grow(lm, ScriptedRM(SCORES))
    solutions = await lookahead(tree, width=2, beam_size=1, max_depth=5, k=1)
    # a scores higher, but one step on it is 0.1 against 0.8
    assert lm.asked == [("", 2), ("a\n", 1), ("b\n", 1), ("b\n", 2)]
    assert [(s.answer, s.scores) for s in solutions] == [("3", (0.5, 0.6)), ("4", (0.5, 0.7))]
    assert tree.limits.steps == 6


async def test_two_steps_on_the_other_is_better():
    lm = ScriptedLM(SCRIPT)
    solutions = await lookahead(grow(lm, ScriptedRM(SCORES)), width=2, beam_size=1, max_depth=5, k=2)
    assert [s.answer for s in solutions] == ["1", "2"]


async def test_rollouts_are_greedy_and_no_part_of_the_tree():
    class Recorder(ScriptedLM):
        temperatures: list[float] = []  # noqa: RUF012

        async def generate(self, prompt, sampling, seeds, ledger):
            self.temperatures.append(sampling.temperature)
            return await super().generate(prompt, sampling, seeds, ledger)

    lm = Recorder(SCRIPT)
    tree = grow(lm, ScriptedRM(SCORES), temperature=0.6)
    await lookahead(tree, width=2, beam_size=1, max_depth=5, k=1)
    assert lm.temperatures == [0.6, 0.0, 0.0, 0.6]
    assert list(tree.root.children["b\n"].children) == ["answer 3", "answer 4"]
    assert not tree.root.children["a\n"].children


async def test_no_rollout_where_there_is_no_choice():
    lm = ScriptedLM({"": ["a\n"], "a\n": ["answer 1"]})
    await lookahead(grow(lm, ScriptedRM({"a\n": 0.5, "answer 1": 0.5})), width=1, beam_size=1, max_depth=5, k=3)
    assert lm.asked == [("", 1), ("a\n", 1)]


async def test_the_oracle_leads_to_the_only_right_path():
    solutions = await lookahead(grow(ScriptedLM(MAZE), OracleRM(TASK)), width=4, beam_size=1, max_depth=6, k=1)
    assert max(solutions, key=lambda s: min(s.scores)).answer == PROBLEM.answer
