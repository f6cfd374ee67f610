"""The embedded task: integer expressions solved by one reduction a line, with an exact oracle for each step."""

from envs.arithmetic import generator
from envs.arithmetic.answer import IntegerGrader, extract, gold
from envs.arithmetic.dataset import problems
from envs.arithmetic.oracle import SPARE_STEPS, judge
from envs.base_env import Task

TASK = Task(
    name="arithmetic",
    problems=problems,
    prompt=lambda problem: problem.question,
    extract=extract,
    grader=IntegerGrader,
    gold=gold,
    oracle=judge,
    max_new_tokens=640,
    max_step_tokens=128,
    max_depth=max(generator.LEVELS.values()) + SPARE_STEPS,
    width=4,
    steps_per_solution={**generator.LEVELS, "": generator.LEVELS[generator.DEFAULT_LEVEL]},
)
