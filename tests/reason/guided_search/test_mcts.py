"""MCTS on trees computed by hand."""

import math

from tests.reason.guided_search.scripted import PROBLEM, TASK, ScriptedLM, ScriptedRM, grow

from reason.guided_search.mcts import select, vanila_mcts
from reason.guided_search.tree import Node
from reason.inference.oracle import OracleRM

BASE, INIT = 19652.0, 1.25


async def test_the_first_path_follows_the_scores_and_backs_up_the_value_of_its_end():
    lm = ScriptedLM({"": ["a\n", "b\n"], "b\n": ["answer 1", "answer 2"]})
    tree = grow(lm, ScriptedRM({"a\n": 0.3, "b\n": 0.6, "answer 1": 0.2, "answer 2": 0.7}))
    (solution,) = await vanila_mcts(tree, 1, 2, 5, BASE, INIT)
    assert solution.answer == "2"
    b = tree.root.children["b\n"]
    assert (tree.root.visits, b.visits, b.children["answer 2"].visits, b.children["answer 1"].visits) == (1, 1, 1, 0)
    assert (tree.root.value_sum, b.value_sum) == (0.7, 0.7)
    assert lm.asked == [("", 2), ("b\n", 2)]


def test_selection_is_puct_by_hand():
    root = Node(None, "", (), samples=8, visits=4, draws=2)
    one = Node(root, "one", (0,), count=6, score=0.5, visits=3, value_sum=1.8)
    two = Node(root, "two", (1,), count=2, score=0.55)
    root.children = {"one": one, "two": two}
    c = math.log((4 + BASE + 1) / BASE) + INIT
    ucb = {"one": (0.5 + 1.8) / 4 + c * 2 * (6 / 8) / 4, "two": 0.55 + c * 2 * (2 / 8) / 1}
    again = (1 / 9) * 0.55 + c * 2 * (1 / 9) / 3  # no step was seen only once
    assert max(ucb, key=lambda name: ucb[name]) == "two"
    assert again < ucb["two"]
    assert select(root, set(), BASE, INIT) is two
    assert select(root, {two}, BASE, INIT) is one
    assert select(root, {one, two}, BASE, INIT) is None


async def test_no_finished_leaf_is_walked_twice():
    answers = ["answer 1", "answer 2", "answer 3", "answer 4"]
    lm = ScriptedLM({"": ["a\n"], "a\n": answers})
    tree = grow(lm, ScriptedRM({"a\n": 0.5} | {answer: 0.5 for answer in answers}))
    solutions = await vanila_mcts(tree, 4, 2, 5, BASE, INIT)
    assert sorted(s.answer for s in solutions) == ["1", "2", "3", "4"]


async def test_a_policy_without_choice_ends_the_search():
    tree = grow(ScriptedLM({"": ["a\n"], "a\n": ["answer 1"]}), ScriptedRM({"a\n": 0.5, "answer 1": 0.5}))
    assert [s.answer for s in await vanila_mcts(tree, 8, 2, 3, BASE, INIT)] == ["1"]


async def test_draws_go_where_the_prefix_is_good_and_what_follows_is_not():
    """After the first step all samples err; MCTS draws there again until the right step comes."""
    script = {"": ["good\n"], "good\n": ["bad\n", "bad\n", "bad\n", "bad\n", "bad\n", "good 2\n"]}
    script |= {"good\nbad\n": ["bad answer 1"], "good\ngood 2\n": ["answer right"]}
    tree = grow(ScriptedLM(script), OracleRM(TASK))
    solutions = await vanila_mcts(tree, 2, 2, 5, BASE, INIT)
    assert PROBLEM.answer in [s.answer for s in solutions]


async def test_tokens_of_each_path_are_what_was_spent_since_the_path_before():
    lm = ScriptedLM({"": ["a\n", "b\n"], "b\n": ["answer 1", "answer 2"], "a\n": ["answer 3", "answer 4"]})
    scores = {"a\n": 0.3, "b\n": 0.6, "answer 1": 0.2, "answer 2": 0.7, "answer 3": 0.1, "answer 4": 0.1}
    tree = grow(lm, ScriptedRM(scores))
    solutions = await vanila_mcts(tree, 3, 2, 5, BASE, INIT)
    assert len(solutions) == 3
    assert solutions[0].search_tokens == 6
    assert sum(s.search_tokens for s in solutions) == tree.ledger.generated_tokens
