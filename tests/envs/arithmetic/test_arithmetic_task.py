"""The task as the rest of the project sees it: problems by options, prompt, extraction, grading."""

import asyncio
import json
import subprocess
import sys

import pytest

from envs.arithmetic import TASK
from envs.base_env import CoTEnv, DataOptions, load_task
from reason.common.errors import UserError


def equal(gold, answer):
    return asyncio.run(TASK.grader().equal(gold, answer)).equal


def test_config_defaults():
    problems = TASK.problems(DataOptions())
    assert len(problems) == 1000
    assert problems[17].id == "arithmetic/8/test/0/17"
    assert {p.level for p in problems} == {"8"}
    assert TASK.max_depth == 18  # the longest level and two steps to spare


def test_items_are_a_function_of_the_options_alone():
    options = DataOptions(split="dev", level="5", seed=2, limit=20)
    assert TASK.problems(options) == TASK.problems(options)
    shuffled = TASK.problems(DataOptions(split="dev", level="5", seed=2, limit=20, shuffle_seed=1))
    assert shuffled != TASK.problems(options)
    assert set(shuffled) == set(TASK.problems(options))


def test_level_check_asks_for_its_format():
    problem = TASK.problems(DataOptions(level="check", limit=1))[0]
    assert TASK.prompt(problem).startswith("<|check|>")


def test_the_gold_answer_scores_and_its_neighbours_do_not():
    for problem in TASK.problems(DataOptions(limit=20)):
        answer = TASK.extract(f"90 + 9 = 99; 99 + 1\n1 + 1 = {problem.answer}\n")
        assert answer == problem.answer
        assert equal(problem.answer, answer)
        assert not equal(problem.answer, str(int(problem.answer) + 1))
        assert not equal(problem.answer, problem.answer + ".0")


@pytest.mark.parametrize(
    "text, answer",
    [
        ("17 + 25 = 42; 42 * 3\n42 * 3 = 126", "126"),
        ("42 * 3 = 126\n\n", "126"),
        ("Wait, 42 * 3 = 126", "126"),
        ("3 - 8 = -5", "-5"),
        ("20 + (-5) = 0015", "15"),
        ("17 + 25 = 42; 42 * 3", None),
        ("42 * 3 = 126; ", None),
        ("126", None),
        ("the answer is 126", None),
        ("42 * 3 = 126 or 127", None),
        ("", None),
        ("\n" * 10**6, None),
        ("9" * 10**6, None),
        ("2 + 2 = ４", None),
    ],
)
def test_extraction(text, answer):
    assert TASK.extract(text) == answer


@pytest.mark.parametrize("gold, answer, same", [("126", " 126 ", True), ("126", "+126", True), ("126", "1 26", False)])
def test_grading(gold, answer, same):
    assert equal(gold, answer) is same


@pytest.mark.parametrize(
    "options, message",
    [
        (DataOptions(level="7"), "level '7' is not one of"),
        (DataOptions(split="valid"), "split 'valid' is not one of"),
        (DataOptions(limit=0), "limit 0 is below 1"),
    ],
)
def test_bad_options_are_one_clear_line(options, message):
    with pytest.raises(UserError, match=message):
        TASK.problems(options)


def test_a_local_file(tmp_path):
    path = tmp_path / "questions.jsonl"
    path.write_text('{"question": "2 + 3 * 4", "answer": "14"}\n{"question": "2 + 3", "answer": 5, "id": "b"}\n')
    problems = TASK.problems(DataOptions(data_path=path))
    assert [(p.id, p.answer) for p in problems] == [("0", "14"), ("b", "5")]
    references = ["3 * 4 = 12; 2 + 12\n2 + 12 = 14", "First 12, then 14.\n#### 14", " 14 "]
    path.write_text("".join(json.dumps({"question": "2 + 3 * 4", "answer": text}) + "\n" for text in references))
    assert [p.answer for p in TASK.problems(DataOptions(data_path=path))] == ["14"] * 3
    path.write_text(json.dumps({"question": "2 + 3 * 4", "answer": "it is 14"}))
    with pytest.raises(
        UserError, match=r"questions\.jsonl, line 1: answer: no final answer can be read from 'it is 14'"
    ):
        TASK.problems(DataOptions(data_path=path))
    path.write_text(json.dumps({"question": "2 + 3 * 4", "answer": "20"}))
    with pytest.raises(UserError, match=r"questions\.jsonl, line 1: answer: is '20', .*value is 14"):
        TASK.problems(DataOptions(data_path=path))
    path.write_text(json.dumps({"question": "2 plus 3", "answer": "5"}))
    with pytest.raises(UserError, match=r"questions\.jsonl, line 1: question: "):
        TASK.problems(DataOptions(data_path=path))


def test_the_environment_ends_and_truncates():
    problem = TASK.problems(DataOptions(limit=1))[0]
    env = CoTEnv(TASK, problem, "\n", max_depth=2)
    assert env.step("1 + 1 = 2; 2 + 2\n")[1:] == (False, False)
    assert env.step("2 + 2 = 4; 4 + 4\n")[1:] == (False, True)
    env.reset()
    assert env.step("2 + 2 = 4")[1:] == (True, False)


def test_an_unknown_task_lists_those_there_are():
    with pytest.raises(UserError, match="no task 'GSM'; there are: MATH, arithmetic"):
        load_task("GSM")


@pytest.mark.parametrize("task", ["arithmetic", "MATH"])
def test_a_task_loads_without_heavy_packages(task):
    code = (
        "import sys; from envs.base_env import load_task; load_task(sys.argv[1]);"
        "print([m for m in ('torch', 'transformers', 'vllm', 'sympy', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, task], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
