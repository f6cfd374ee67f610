"""MCTS-alpha by hand, on the maze, and within its budget."""

from reason.guided_search.mcts_alpha import MCTSAlpha, mcts_alpha
from reason.inference.oracle import OracleRM
from tests.reason.guided_search.scripted import MAZE, PROBLEM, TASK, ScriptedLM, ScriptedRM, grow

USUAL = MCTSAlpha()


async def test_one_simulation_a_step_by_hand():
    lm = ScriptedLM({"": ["a\n", "b\n"], "b\n": ["answer 1", "answer 2"]})
    tree = grow(lm, ScriptedRM({"a\n": 0.3, "b\n": 0.6, "answer 1": 0.2, "answer 2": 0.7}))
    (solution,) = await mcts_alpha(tree, 1, 1, 2, 5, USUAL)
    # the simulation at the root expands it and values its better step; that step is committed to
    assert lm.asked == [("", 2), ("b\n", 2)]
    assert (solution.answer, solution.scores) == ("2", (0.6, 0.7))


async def test_simulations_see_through_a_step_that_leads_nowhere():
    """b scores highest, but all that follows it is bad: with more simulations a is visited more often."""
    script = {"": ["a\n", "b\n"], "a\n": ["answer 1"], "b\n": [f"b{i}\n" for i in range(8)]}
    script |= {f"b\nb{i}\n": ["answer 2"] for i in range(8)}
    scores = {"a\n": 0.5, "b\n": 0.6, "answer 1": 0.9, "answer 2": 0.0} | {f"b{i}\n": 0.0 for i in range(8)}
    (first,) = await mcts_alpha(grow(ScriptedLM(script), ScriptedRM(scores)), 1, 1, 2, 5, USUAL)
    (thought,) = await mcts_alpha(grow(ScriptedLM(script), ScriptedRM(scores)), 1, 24, 2, 5, USUAL)
    assert (first.answer, thought.answer) == ("2", "1")


async def test_the_oracle_leads_to_the_only_right_path():
    (solution,) = await mcts_alpha(grow(ScriptedLM(MAZE), OracleRM(TASK)), 1, 4, 4, 6, USUAL)
    assert solution.answer == PROBLEM.answer


async def test_trees_are_apart_and_each_gives_a_solution():
    lm = ScriptedLM({"": ["a\n", "b\n"], "a\n": ["answer 1"], "b\n": ["answer 2"]})
    scores = {"a\n": 0.5, "b\n": 0.5, "answer 1": 0.5, "answer 2": 0.5}
    solutions = await mcts_alpha(grow(lm, ScriptedRM(scores)), 3, 2, 1, 5, USUAL)
    assert len(solutions) == 3


async def test_a_spent_budget_commits_along_what_is_known_and_writes_the_rest():
    script = {"": ["a\n"], "a\n": ["b\n"], "a\nb\n": ["c\n"], "a\nb\nc\n": ["answer 1"]}
    tree = grow(
        ScriptedLM(script), ScriptedRM({"a\n": 0.5, "b\n": 0.5, "c\n": 0.5, "answer 1": 0.5}), budget=1,
        steps_per_solution=2.0,
    )  # fmt: skip
    (solution,) = await mcts_alpha(tree, 1, 4, 1, 9, USUAL)
    assert solution.answer == "1"
    assert tree.limits.steps == 5  # a, a again, then the rest in one sample
