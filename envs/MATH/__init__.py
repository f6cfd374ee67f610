"""Competition mathematics with a final answer in \\boxed{}."""

from envs.base_env import Problem, Task
from envs.grading import MathGrader, extract, marked_to_its_end
from envs.MATH.dataset import gold, problems

REQUEST = "Put your final answer within \\boxed{}."


def prompt(problem: Problem) -> str:
    """The question and the request for the answer's form."""
    return f"{problem.question}\n{REQUEST}"


TASK = Task(
    name="MATH",
    problems=problems,
    prompt=prompt,
    extract=extract,
    marked=marked_to_its_end,
    grader=MathGrader,
    gold=gold,
)
