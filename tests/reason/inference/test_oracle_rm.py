"""The oracle as a reward model."""

import pytest

from envs.base_env import Problem, Task, load_task
from reason.inference.base import ServiceError
from reason.inference.ledger import Ledger
from reason.inference.oracle import OracleRM

PROBLEM = Problem(id="x", question="17 + 25 * 3", answer="92")
RIGHT = ["25 * 3 = 75; 17 + 75\n", "17 + 75 = 92"]
WRONG = ["25 * 3 = 65; 17 + 65\n", "17 + 65 = 82"]


async def test_scores_say_whether_an_error_was_made():
    scores = await OracleRM(load_task("arithmetic")).score(PROBLEM, [RIGHT, WRONG], Ledger())
    assert scores == [[1.0, 1.0], [0.0, 0.0]]


async def test_noise_flips_its_share_of_verdicts_the_same_way_each_time():
    oracle = OracleRM(load_task("arithmetic"), "oracle:noise=0.3")
    problems = [Problem(id=str(i), question=PROBLEM.question, answer="92") for i in range(500)]
    first = [(await oracle.score(p, [RIGHT], Ledger()))[0][0] for p in problems]
    assert first == [(await oracle.score(p, [RIGHT], Ledger()))[0][0] for p in problems]
    assert 0.62 < sum(first) / 500 < 0.78


@pytest.mark.parametrize("name", ["oracle:noise=2", "oracle:noise=x", "oracle:level=1", "oracular"])
def test_a_malformed_name_says_how_it_is_written(name):
    with pytest.raises(ServiceError, match="noise=E"):
        OracleRM(load_task("arithmetic"), name)


def test_a_task_without_oracle_is_refused():
    task = Task(name="none", problems=list, prompt=str, extract=str, grader=lambda: None)
    with pytest.raises(ServiceError, match="no oracle"):
        OracleRM(task)
