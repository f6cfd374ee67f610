"""DVTS on a tree computed by hand."""

from reason.guided_search.dvts import dvts
from reason.inference.oracle import OracleRM
from tests.reason.guided_search.scripted import MAZE, PROBLEM, TASK, ScriptedLM, ScriptedRM, grow

SCRIPT = {
    "": ["a\n", "b\n", "c\n", "d\n"],  # the first subtree draws a and b, the second c and d
    "a\n": ["answer 1", "answer 2"],
    "d\n": ["answer 3", "d1\n"],
    "d\nd1\n": ["answer 4", "answer 4"],
}
SCORES = {
    "a\n": 0.9, "b\n": 0.8, "c\n": 0.1, "d\n": 0.2, "answer 1": 0.5, "answer 2": 0.6,
    "answer 3": 0.3, "d1\n": 0.4, "answer 4": 0.7,
}  # fmt: skip


async def test_each_subtree_keeps_its_own_best_and_the_last_samples_of_each_vote():
    lm = ScriptedLM(SCRIPT)
    tree = grow(lm, ScriptedRM(SCORES))
    solutions = await dvts(tree, width=2, subtrees=2, max_depth=5)
    # d goes on though b of the other subtree scores higher; answer 3 is not among the last samples of its subtree
    assert sorted(lm.asked) == [("", 2), ("", 2), ("a\n", 2), ("d\n", 2), ("d\nd1\n", 2)]
    assert [s.answer for s in solutions] == ["1", "2", "4", "4"]
    assert solutions[-1].scores == (0.2, 0.4, 0.7)
    assert tree.limits.steps == 10
    assert solutions[-1].spent == tree.ledger.generated_tokens


async def test_subtrees_draw_with_seeds_of_their_own():
    class Seeds(ScriptedLM):
        seeds: list[int] = []  # noqa: RUF012

        async def generate(self, prompt, sampling, seeds, ledger):
            self.seeds += seeds
            return await super().generate(prompt, sampling, seeds, ledger)

    lm = Seeds({"": ["answer 1"]})
    await dvts(grow(lm, ScriptedRM({"answer 1": 0.5})), width=2, subtrees=3, max_depth=5)
    assert len(set(lm.seeds)) == 6


async def test_the_oracle_leads_to_the_only_right_path():
    solutions = await dvts(grow(ScriptedLM(MAZE), OracleRM(TASK)), width=4, subtrees=1, max_depth=6)
    assert max(solutions, key=lambda s: min(s.scores)).answer == PROBLEM.answer


async def test_the_last_depth_is_written_to_the_end():
    script = {"": ["a\n"], "a\n": ["b\n"], "a\nb\n": ["answer 1"]}
    lm = ScriptedLM(script)
    solutions = await dvts(grow(lm, ScriptedRM({"a\n": 0.5, "b\n": 0.5, "answer 1": 0.5})), 1, 1, max_depth=2)
    assert lm.asked == [("", 1), ("a\n", 1)]
    assert [s.steps for s in solutions] == [("a\n", "b\n", "answer 1")]
