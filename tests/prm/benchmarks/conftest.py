"""Files in the benchmarks' formats, and a served PRM that knows the truth of arithmetic."""

import json

import pytest

from envs.base_env import DataOptions, load_task, split_steps
from prm.evaluate import main
from tests.fakes import PRM_CARD, FakeWorker, fastchat_controller, solve_text

TASK = load_task("arithmetic")
PROBLEMS = TASK.problems(DataOptions(limit=24))


@pytest.fixture(scope="session")
def controller(tmp_path_factory):
    """A FastChat controller with the reward model `prm`, which is right at 0.5 and silent about the last problem."""
    with fastchat_controller(tmp_path_factory.mktemp("controller")) as address:
        with FakeWorker("prm", address, PRM_CARD, faults={PROBLEMS[-1].question: "wrong_count"}):
            yield address


def solutions(per_problem=4, problems=PROBLEMS[:-1]):
    """(problem, steps, first error or -1) of solutions that err by their seed."""
    for problem in problems:
        for seed in range(per_problem):
            steps = split_steps(solve_text(problem.question + "\n", seed, 1.0, ()), "\n")
            ok = [verdict.prefix_ok for verdict in TASK.oracle(problem, steps)]
            yield problem, steps, ok.index(False) if False in ok else -1


def write(path, rows):
    """A JSONL file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def processbench_rows(**options):
    return [
        {"id": f"{p.id}-{i}", "problem": p.question, "steps": steps, "label": error}
        for i, (p, steps, error) in enumerate(solutions(**options))
    ]


def sample_rows(**options):
    return [{"question": p.question, "steps": steps} for p, steps, _ in solutions(**options)]


def evaluate(*words):
    """The exit status of the command."""
    return main([str(word) for word in words])


def result_of(folder):
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def by_name(rows, **fields):
    """The one row with these fields."""
    (row,) = [row for row in rows if all(row[key] == value for key, value in fields.items())]
    return row
