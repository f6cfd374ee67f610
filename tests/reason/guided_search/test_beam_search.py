"""Beam search on trees computed by hand."""

from reason.guided_search.beam_search import beam_search
from reason.inference.oracle import OracleRM
from tests.reason.guided_search.scripted import PROBLEM, TASK, ScriptedLM, ScriptedRM, grow

SCRIPT = {
    "": ["a\n", "b\n", "c\n", "answer 0"],
    "a\n": ["a1\n", "answer 1"],
    "b\n": ["answer 2", "b2\n"],
    "a\na1\n": ["answer 3", "answer 4"],
}
SCORES = {
    "a\n": 0.9, "b\n": 0.8, "c\n": 0.1, "answer 0": 0.5,
    "a1\n": 0.7, "answer 1": 0.2, "answer 2": 0.6, "b2\n": 0.1,
    "answer 3": 0.3, "answer 4": 0.9,
}  # fmt: skip


async def test_the_best_beams_grow_and_every_finished_solution_votes():
    lm = ScriptedLM(SCRIPT)
    tree = grow(lm, ScriptedRM(SCORES))
    solutions = await beam_search(tree, width=2, beam_size=2, max_depth=5)
    # round 1 keeps a, b; round 2 keeps a1 (0.7) and the finished answer 2 (0.6); round 3 grows a1 alone
    assert lm.asked == [("", 4), ("a\n", 2), ("b\n", 2), ("a\na1\n", 2)]
    assert [s.answer for s in solutions] == ["0", "1", "2", "3", "4"]
    assert solutions[-1].scores == (0.9, 0.7, 0.9)
    assert [s.spent for s in solutions] == [0, 0, 0, 0, tree.ledger.generated_tokens]


async def test_a_finished_beam_keeps_its_place_only_by_its_score():
    lm = ScriptedLM(
        {"": ["answer 0", "a\n"], "a\n": ["a1\n", "a2\n"], "a\na1\n": ["answer 1"], "a\na2\n": ["answer 2"]}
    )
    scores = {"answer 0": 0.5, "a\n": 0.4, "a1\n": 0.6, "a2\n": 0.7, "answer 1": 0.1, "answer 2": 0.2}
    tree = grow(lm, ScriptedRM(scores))
    solutions = await beam_search(tree, width=2, beam_size=2, max_depth=5)
    # after round 2 both a1 and a2 score above the finished beam, which is pushed out but still votes
    assert {prefix for prefix, _ in lm.asked} == {"", "a\n", "a\na1\n", "a\na2\n"}
    assert {s.answer for s in solutions} == {"0", "1", "2"}


async def test_equal_beams_are_one_that_takes_all_draws_of_the_round_and_votes_as_often_as_it_was_drawn():
    lm = ScriptedLM({"": ["a\n", "a\n", "a\n", "b\n"], "a\n": ["answer 1", "answer 1", "a1\n"], "b\n": ["answer 2"],
                     "a\na1\n": ["answer 3"]})  # fmt: skip
    scores = {"a\n": 0.9, "b\n": 0.8, "a1\n": 0.7, "answer 1": 0.1, "answer 2": 0.2, "answer 3": 0.3}
    tree = grow(lm, ScriptedRM(scores))
    solutions = await beam_search(tree, width=2, beam_size=3, max_depth=5)
    # round 2 has two beams for three places, so each draws 3; then a1 grows beside the finished answers 2 and 1
    assert lm.asked == [("", 6), ("a\n", 3), ("b\n", 3), ("a\na1\n", 2)]
    assert sorted(s.answer for s in solutions) == ["1", "1", "2", "2", "2", "3", "3"]


async def test_width_one_and_depth_one_work():
    tree = grow(ScriptedLM({"": ["a\n"], "a\n": ["answer 1"]}), ScriptedRM({"a\n": 0.5, "answer 1": 0.5}))
    assert [s.answer for s in await beam_search(tree, width=1, beam_size=1, max_depth=5)] == ["1"]
    tree = grow(ScriptedLM({"": ["a\n"], "a\n": ["answer 1"]}), ScriptedRM({"a\n": 0.5, "answer 1": 0.5}))
    assert [s.answer for s in await beam_search(tree, width=1, beam_size=1, max_depth=1)] == ["1"]


async def test_the_root_is_drawn_from_once():
    lm = ScriptedLM(SCRIPT)
    await beam_search(grow(lm, ScriptedRM(SCORES)), width=2, beam_size=2, max_depth=5)
    assert [prefix for prefix, _ in lm.asked].count("") == 1


async def test_the_oracle_leads_to_the_only_right_path():
    script = {"": ["bad 1\n", "good\n", "bad 2\n", "bad 3\n"]}
    for first in ("bad 1\n", "bad 2\n", "bad 3\n"):
        script[first] = ["answer wrong"]
    script["good\n"] = ["bad\n", "good 2\n"]
    script["good\nbad\n"] = ["answer wrong"]
    script["good\ngood 2\n"] = ["bad answer wrong", "answer right"]
    tree = grow(ScriptedLM(script), OracleRM(TASK))
    solutions = await beam_search(tree, width=4, beam_size=1, max_depth=6)
    best = max(solutions, key=lambda s: min(s.scores))
    assert best.answer == PROBLEM.answer
    assert best.scores == (1.0, 1.0, 1.0)
