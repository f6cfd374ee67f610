"""REBASE on a tree computed by hand."""

import math

import pytest

from reason.guided_search.rebase import rebase, spread
from reason.inference.oracle import OracleRM
from tests.reason.guided_search.scripted import MAZE, PROBLEM, TASK, ScriptedLM, ScriptedRM, grow


async def test_the_budget_is_spread_by_the_softmax_of_the_scores_highest_first_rounding_up():
    script = {
        "": ["c\n", "a\n", "answer 0", "b\n"],
        "a\n": ["answer 1", "a2\n"],
        "b\n": ["answer 2"],
        "a\na2\n": ["answer 3"],
    }
    scores = {"a\n": math.log(4), "b\n": math.log(2), "c\n": 0.0, "a2\n": 0.0} | {f"answer {i}": 0.5 for i in range(4)}
    lm = ScriptedLM(script)
    tree = grow(lm, ScriptedRM(scores))
    solutions = await rebase(tree, n=4, temperature=1.0, max_depth=5)
    # one leaf: 3 are left; a: ceil(3 * 4/7) = 2, b: ceil(1 * 2/3) = 1, nothing for c; two more leaves: 1 is left
    assert lm.asked == [("", 4), ("a\n", 2), ("b\n", 1), ("a\na2\n", 1)]
    assert [s.answer for s in solutions] == ["0", "1", "2", "3"]
    assert tree.limits.steps == 8


async def test_equal_samples_are_one_node_of_their_common_weight_and_vote_as_often_as_drawn():
    lm = ScriptedLM({"": ["a\n", "a\n", "b\n", "answer 0"], "a\n": ["answer 1"], "b\n": ["answer 2"]})
    scores = {"a\n": 0.5, "b\n": 0.5, "answer 0": 0.5, "answer 1": 0.5, "answer 2": 0.5}
    solutions = await rebase(grow(lm, ScriptedRM(scores)), n=4, temperature=0.2, max_depth=5)
    assert lm.asked == [("", 4), ("a\n", 2), ("b\n", 1)]
    assert [s.answer for s in solutions] == ["0", "1", "1", "2"]


@pytest.mark.parametrize(
    "budget, weights, shares",
    [
        (8, [4, 2, 1, 1], [4, 2, 1, 1]),
        (3, [1, 1, 1, 1], [1, 1, 1]),
        (5, [1.0], [5]),
        (16, [1.0, 1e-9], [16]),
        (0, [1], []),
    ],
)
def test_shares_by_hand(budget, weights, shares):
    assert spread(budget, weights) == shares


async def test_the_oracle_leads_to_the_only_right_path():
    solutions = await rebase(grow(ScriptedLM(MAZE), OracleRM(TASK)), n=4, temperature=0.2, max_depth=6)
    assert max(solutions, key=lambda s: min(s.scores)).answer == PROBLEM.answer
