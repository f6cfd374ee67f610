"""The tree merges equal steps, marks how nodes end, charges every token once and draws each seed once."""

import pytest

from reason.common.seeds import draw_seed
from reason.guided_search.options import SearchOptions
from tests.reason.guided_search.scripted import ScriptedLM, ScriptedRM, grow


async def test_equal_steps_of_a_node_are_one_child_and_scored_once():
    lm = ScriptedLM({"": ["a\n", "b\n", "a\n", "a\n"]})
    rm = ScriptedRM({"a\n": 0.7, "b\n": 0.2})
    tree = grow(lm, rm)
    children = await tree.expand([tree.root], 4)
    assert [(c.step, c.count, c.score, c.path) for c in children] == [("a\n", 3, 0.7, (0,)), ("b\n", 1, 0.2, (1,))]
    assert rm.scored == [("a\n",), ("b\n",)]
    assert tree.root.samples == 4


async def test_a_second_draw_returns_only_what_is_new():
    lm = ScriptedLM({"": ["a\n", "b\n", "a\n", "c\n"]})
    tree = grow(lm, ScriptedRM({"a\n": 0.7, "b\n": 0.2, "c\n": 0.1}))
    await tree.expand([tree.root], 2)
    assert [c.step for c in await tree.expand([tree.root], 2)] == ["c\n"]
    assert [c.count for c in tree.root.children.values()] == [2, 1, 1]


async def test_a_step_keeps_the_score_it_was_given_first():
    class Drifting(ScriptedRM):
        """Its scores differ a little each time, as those of a batched model do."""

        async def score(self, problem, solutions, ledger):
            drift = 1e-8 * len(self.scored)
            return [[s + drift for s in scores] for scores in await super().score(problem, solutions, ledger)]

    lm = ScriptedLM({"": ["a\n"], "a\n": ["answer 1", "answer 2"]})
    tree = grow(lm, Drifting({"a\n": 0.5, "answer 1": 0.6, "answer 2": 0.7}))
    (a,) = await tree.expand([tree.root], 1)
    first = a.score
    tree.collect(await tree.expand([a], 2))
    assert {solution.scores[0] for solution in tree.solutions()} == {first}


async def test_how_nodes_end():
    lm = ScriptedLM({"": ["go on\n", "answer 1", "never ends..."]})
    tree = grow(lm, None)
    reasons = [child.finish_reason for child in await tree.expand([tree.root], 3)]
    assert reasons == [None, "stop", "length"]


async def test_a_node_at_the_greatest_depth_is_cut():
    lm = ScriptedLM({"": ["a\n"], "a\n": ["b\n"]})
    tree = grow(lm, None, depth=2)
    (a,) = await tree.expand([tree.root], 1)
    (b,) = await tree.expand([a], 1)
    assert (a.finish_reason, b.finish_reason) == (None, "length")


async def test_an_end_of_text_without_text_is_no_step_and_keeps_the_score():
    lm = ScriptedLM({"": ["a\n"], "a\n": [""]})
    rm = ScriptedRM({"a\n": 0.6})
    tree = grow(lm, rm)
    (a,) = await tree.expand([tree.root], 1)
    (end,) = await tree.expand([a], 1)
    assert (end.finish_reason, end.score, end.steps()) == ("stop", 0.6, ["a\n"])
    tree.collect([end])
    assert tree.solutions()[0].scores == (0.6,)


async def test_no_step_is_blank():
    """Blank lines behind a step are drawn on; the step that comes then counts as one, with all its tokens."""
    script = {"": ["a\n", "\n"], "\n": ["\n"], "\n\n": ["b\n"], "a\n": ["\n", " \n"]}
    script |= {"a\n\n": ["answer 1"], "a\n \n": [""], "\n\nb\n": ["\n"], "\n\nb\n\n": ["..."]}
    rm = ScriptedRM({"a\n": 0.9, "\n\nb\n": 0.8, "\nanswer 1": 0.7})
    tree = grow(ScriptedLM(script), rm)
    a, b = await tree.expand([tree.root], 2)
    assert [(n.step, n.num_tokens, n.finished) for n in (a, b)] == [("a\n", 1, False), ("\n\nb\n", 3, False)]
    answer, end = await tree.expand([a], 2)
    assert (answer.step, answer.finish_reason, end.step, end.finish_reason) == ("\nanswer 1", "stop", "", "stop")
    assert all(step.strip() for steps in rm.scored for step in steps)
    assert tree.limits.steps == 4


async def test_endless_blank_lines_are_cut_at_the_tokens_of_a_step():
    lm = ScriptedLM({"\n" * i: ["\n"] for i in range(9)})
    tree = grow(lm, ScriptedRM({}), max_step_tokens=8)
    (end,) = await tree.expand([tree.root], 1)
    assert (end.step, end.finish_reason, end.num_tokens) == ("", "length", 8)
    assert len(lm.asked) == 8


async def test_whole_rests_become_chains_with_a_score_for_each_step():
    lm = ScriptedLM({"": ["a\n"], "a\n": ["b\n"], "a\nb\n": ["answer 3"]})
    tree = grow(lm, ScriptedRM({"a\n": 0.9, "b\n": 0.8, "answer 3": 0.7}))
    (leaf,) = await tree.expand([tree.root], 1, to_end=True)
    assert leaf.path == (0, 0, 0)
    tree.collect([leaf])
    (solution,) = tree.solutions()
    assert solution.steps == ("a\n", "b\n", "answer 3")
    assert solution.scores == (0.9, 0.8, 0.7)
    assert solution.answer == "3"
    assert solution.num_tokens == solution.spent == tree.ledger.generated_tokens


async def test_a_rest_that_ends_behind_a_separator_is_a_leaf_beside_longer_ones():
    lm = ScriptedLM({"": ["a\n", "a\n"], "a\n": ["", "answer 1"]})
    tree = grow(lm, ScriptedRM({"a\n": 0.9, "answer 1": 0.7}))
    leaves = await tree.expand([tree.root], 2, to_end=True)
    assert [(leaf.finish_reason, leaf.steps(), leaf.score) for leaf in leaves] == [
        ("stop", ["a\n"], 0.9),
        ("stop", ["a\n", "answer 1"], 0.7),
    ]
    assert not tree.root.children["a\n"].finished


async def test_independent_samples_stay_apart_and_are_charged_their_own_tokens():
    lm = ScriptedLM({"": ["answer 1", "answer 1", "x y answer 2"]})
    tree = grow(lm, None)
    await tree.sample_solutions(3)
    solutions = tree.solutions()
    assert [s.answer for s in solutions] == ["1", "1", "2"]
    assert [s.spent for s in solutions] == [2, 4, 8]
    assert all(s.scores is None for s in solutions)


def test_seeds_differ_in_every_part_and_neighbours_do_not_collide():
    base = draw_seed(0, "p", (0, 1), 0, 0)
    others = [
        draw_seed(1, "p", (0, 1), 0, 0),
        draw_seed(0, "p2", (0, 1), 0, 0),
        draw_seed(0, "p", (0, 11), 0, 0),
        draw_seed(0, "p", (0, 1), 1, 0),
        draw_seed(0, "p", (0, 1), 0, 1),
    ]
    assert len({base, *others}) == 6
    assert base == draw_seed(0, "p", (0, 1), 0, 0)
    many = {draw_seed(s, "p", (i,), 0, k) for s in range(20) for i in range(20) for k in range(20)}
    assert len(many) == 8000
    assert all(0 <= seed < 2**63 for seed in many)


@pytest.mark.parametrize(
    "bad", [{"width": 0}, {"depth": 0}, {"num_sequence": 0}, {"temperature": -1}, {"top_p": 0}, {"top_k": 0}]
)
def test_options_that_no_method_can_use_are_refused(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        SearchOptions(**bad)
