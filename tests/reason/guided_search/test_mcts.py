"""MCTS on trees computed by hand."""

import math

import pytest

from reason.guided_search import mcts
from reason.guided_search.mcts import VanilaMCTS, vanila_mcts
from reason.guided_search.node import Node, Visits
from reason.guided_search.puct import Puct, shares
from reason.inference.oracle import OracleRM
from tests.reason.guided_search.scripted import MAZE, PROBLEM, TASK, ScriptedLM, ScriptedRM, grow

BASE, INIT = 19652.0, 1.25  # of VanilaMCTS
USUAL = VanilaMCTS()


async def test_the_first_path_follows_the_scores_and_backs_up_the_value_of_its_end(monkeypatch):
    puct = Puct(USUAL)
    monkeypatch.setattr(mcts, "Puct", lambda options: puct)
    lm = ScriptedLM({"": ["a\n", "b\n"], "b\n": ["answer 1", "answer 2"]})
    tree = grow(lm, ScriptedRM({"a\n": 0.3, "b\n": 0.6, "answer 1": 0.2, "answer 2": 0.7}))
    (solution,) = await vanila_mcts(tree, 1, 2, 5, USUAL)
    assert solution.answer == "2"
    b = tree.root.children["b\n"]
    nodes = (tree.root, b, b.children["answer 2"], b.children["answer 1"])
    assert [puct.visits[node].count for node in nodes] == [1, 1, 1, 0]
    assert [puct.visits[node].value_sum for node in nodes] == [0.7, 0.7, 0.7, 0.0]
    assert lm.asked == [("", 2), ("b\n", 2)]


def test_selection_is_puct_by_hand():
    root = Node(None, "", (), samples=8, draws=2)
    one = Node(root, "one", (0,), count=6, score=0.5)
    two = Node(root, "two", (1,), count=2, score=0.55)
    root.children = {"one": one, "two": two}
    puct = Puct(USUAL)
    puct.visits |= {root: Visits(4), one: Visits(3, value_sum=1.8)}
    c = math.log((4 + BASE + 1) / BASE) + INIT
    ucb = {"one": (0.5 + 1.8) / 4 + c * 2 * (6 / 8) / 4, "two": 0.55 + c * 2 * (2 / 8) / 1}
    again = (1 / 9) * 0.55 + c * 2 * (1 / 9) / 3  # no step was seen only once
    assert max(ucb, key=lambda name: ucb[name]) == "two"
    assert again < ucb["two"]
    assert puct.select(root) is two
    puct.closed = {two}
    assert puct.select(root) is one
    puct.closed = {one, two}
    assert puct.select(root) is None


async def test_no_finished_leaf_is_walked_twice():
    answers = ["answer 1", "answer 2", "answer 3", "answer 4"]
    lm = ScriptedLM({"": ["a\n"], "a\n": answers})
    tree = grow(lm, ScriptedRM({"a\n": 0.5} | dict.fromkeys(answers, 0.5)))
    solutions = await vanila_mcts(tree, 4, 2, 5, USUAL)
    assert sorted(s.answer for s in solutions) == ["1", "2", "3", "4"]


async def test_a_policy_without_choice_ends_the_search():
    for vain_walks in (1, 8):
        lm = ScriptedLM({"": ["a\n"], "a\n": ["answer 1"]})
        tree = grow(lm, ScriptedRM({"a\n": 0.5, "answer 1": 0.5}))
        options = VanilaMCTS(vain_walks=vain_walks)
        assert [s.answer for s in await vanila_mcts(tree, 8, 2, 3, options)] == ["1"]
        assert len(lm.asked) == 2 + vain_walks  # each walk in vain draws once again


async def test_draws_go_where_the_prefix_is_good_and_what_follows_is_not():
    """After the first step all samples err; MCTS draws there again until the right step comes."""
    script = {"": ["good\n"], "good\n": ["bad\n", "bad\n", "bad\n", "bad\n", "bad\n", "good 2\n"]}
    script |= {"good\nbad\n": ["bad answer 1"], "good\ngood 2\n": ["answer right"]}
    tree = grow(ScriptedLM(script), OracleRM(TASK))
    solutions = await vanila_mcts(tree, 2, 2, 5, VanilaMCTS(vain_walks=16))
    assert PROBLEM.answer in [s.answer for s in solutions]


async def test_tokens_of_each_path_are_what_was_spent_since_the_path_before():
    lm = ScriptedLM({"": ["a\n", "b\n"], "b\n": ["answer 1", "answer 2"], "a\n": ["answer 3", "answer 4"]})
    scores = {"a\n": 0.3, "b\n": 0.6, "answer 1": 0.2, "answer 2": 0.7, "answer 3": 0.1, "answer 4": 0.1}
    tree = grow(lm, ScriptedRM(scores))
    solutions = await vanila_mcts(tree, 3, 2, 5, USUAL)
    assert len(solutions) == 3
    assert solutions[0].spent == 6
    assert solutions[-1].spent == tree.ledger.generated_tokens


@pytest.mark.parametrize("rollout", ["value", "prior", "full", "none"])
@pytest.mark.parametrize("back_up", ["mean", "max"])
@pytest.mark.parametrize("prior", ["count", "logprob"])
@pytest.mark.parametrize("in_flight", [1, 3])
async def test_the_oracle_leads_to_the_only_right_path(rollout, back_up, prior, in_flight):
    options = VanilaMCTS(prior=prior, back_up=back_up, rollout=rollout, leaves_in_flight=in_flight)
    solutions = await vanila_mcts(grow(ScriptedLM(MAZE), OracleRM(TASK)), 8, 4, 6, options)
    assert max(solutions, key=lambda s: min(s.scores)).answer == PROBLEM.answer


def family() -> tuple[Node, Node, Node]:
    root = Node(None, "", (), samples=4, draws=1)
    one = Node(root, "one", (0,), count=3, score=0.5, logprob=math.log(0.1))
    two = Node(root, "two", (1,), count=1, score=0.4, logprob=math.log(0.3))
    root.children = {"one": one, "two": two}
    return root, one, two


def test_values_and_priors_by_hand():
    root, one, two = family()
    assert shares(root, "count") == {one: 0.75, two: 0.25}
    assert shares(root, "logprob") == pytest.approx({one: 0.25, two: 0.75})

    def values(node: Node, virtual: int = 0) -> list[float]:
        """The mean, the greatest, and the mean where an unvisited child is worth 0.9."""
        found = []
        for options in (VanilaMCTS(), VanilaMCTS(back_up="max"), VanilaMCTS(first_play=0.9)):
            puct = Puct(options)
            puct.back_up(one, 0.2)
            puct.back_up(one, 0.8)
            puct.add_virtual(one, virtual)
            found.append(puct.value(node))
        return found

    assert values(one) == pytest.approx([(0.5 + 0.2 + 0.8) / 3, 0.8, 0.5])
    assert values(two) == [0.4, 0.4, 0.9]
    assert values(one, virtual=1) == pytest.approx([1.5 / 4, 0.8 * 3 / 4, 1.0 / 3])  # a visit of value 0


async def test_rollout_policies_by_hand():
    """Below the leaf a: value takes the better scored step, prior the one drawn more often, full a sample."""
    script = {"": ["a\n"], "a\n": ["b\n", "c\n", "b\n", "b\n"], "a\nb\n": ["answer 1"], "a\nc\n": ["answer 2"]}
    scores = {"a\n": 0.5, "b\n": 0.3, "c\n": 0.6, "answer 1": 0.5, "answer 2": 0.5}

    async def run(rollout: str, num_path: int = 1) -> tuple[list[tuple[str, int]], list[str]]:
        lm = ScriptedLM(script)
        found = await vanila_mcts(grow(lm, ScriptedRM(scores)), num_path, 4, 6, VanilaMCTS(rollout=rollout))
        return lm.asked, [str(s.answer) for s in found]

    assert await run("value") == ([("", 4), ("a\n", 4), ("a\nc\n", 4)], ["2"])
    assert await run("prior") == ([("", 4), ("a\n", 4), ("a\nb\n", 4)], ["1"])
    assert await run("full") == ([("", 4), ("a\n", 1)], ["1"])  # the rest after a is one sample
    assert (await run("none"))[0][:1] == [("", 4)]


async def test_the_budget_of_steps_is_kept_and_something_is_always_finished():
    script = {"": ["a\n", "b\n"]} | {f"{x}\n": [f"{x}1\n", f"{x}2\n"] for x in "ab"}
    script |= {f"{x}\n{x}{i}\n": [f"answer {x}{i}"] for x in "ab" for i in (1, 2)}
    scores = {step: 0.5 for steps in script.values() for step in steps}
    tree = grow(ScriptedLM(script), ScriptedRM(scores), budget=4, steps_per_solution=3.0)
    assert await vanila_mcts(tree, math.inf, 2, 6, USUAL)
    assert tree.limits.steps <= 12 and tree.limits.steps_left < 1
    tree = grow(ScriptedLM(script), ScriptedRM(scores), budget=1, steps_per_solution=4.0)
    (solution,) = await vanila_mcts(tree, math.inf, 2, 6, USUAL)  # two rounds of two, then one sample ends it
    assert tree.limits.steps == 5 and len(solution.steps) == 3
