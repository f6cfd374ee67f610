"""The examples of CONTRIBUTING.md: each is one file of at most 30 lines and one line elsewhere, and works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes import ROOT
from tests.prm.tiny import save_prm

pytestmark = pytest.mark.slow
ROOMS = ("data", "envs", "prm", "reason", "train")
MOST_LINES = 30
MODELS = ["--lm", "local:openr-tiny-policy", "--rm", "local:openr-tiny-prm"]


@dataclass(frozen=True)
class Example:
    """What a section of the page says: a new file, and a line of a table where it needs one."""

    path: str
    text: str
    line: str | None
    table: str | None
    table_path: str | None


def examples() -> dict[str, Example]:
    """The sections of "Extending" by their titles."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    part = re.search(r"^## Extending\n(.*?)^## ", page, re.DOTALL | re.MULTILINE)
    assert part is not None
    found = {}
    for section in part[1].split("\n### ")[1:]:
        whole = re.search(r"This is\s`([^`]+)`, whole.*?```\w+\n(.*?)```", section, re.DOTALL)
        assert whole is not None, section
        line = re.search(r"one line in `(\w+)` of `([^`]+)`:\n\n```diff\n\+(.*?)\n```", section)
        table, table_path, new = line.groups() if line else (None, None, None)
        found[section.partition("\n")[0]] = Example(whole[1], whole[2], new, table, table_path)
    return found


EXAMPLES = examples()


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of the rooms, to extend."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / "copy" / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


def extend(copied: Path, title: str) -> None:
    """Write the example's file, and its line at the end of its table."""
    example = EXAMPLES[title]
    path = copied / example.path
    assert not path.exists()
    path.parent.mkdir(exist_ok=True)
    path.write_text(example.text, encoding="utf-8")
    if example.line is not None:
        assert example.table_path is not None
        table = copied / example.table_path
        lines = table.read_text(encoding="utf-8").splitlines()
        start = next(i for i, line in enumerate(lines) if re.match(rf"{example.table}\b.*{{", line))
        end = lines.index("}", start)
        table.write_text("\n".join([*lines[:end], example.line, *lines[end:], ""]), encoding="utf-8")


def openr(copied: Path, *words: str) -> str:
    """What the command of the copy prints."""
    environment = os.environ | {"PYTHONPATH": str(copied), "COLUMNS": "200"}
    command = [sys.executable, "-m", "reason.cli", *words]
    done = subprocess.run(command, cwd=copied, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_four_of_one_file_and_at_most_one_line() -> None:
    assert list(EXAMPLES) == ["A task", "A search method", "A PRM family", "An RL algorithm"]
    for title, example in EXAMPLES.items():
        assert len(example.text.splitlines()) <= MOST_LINES, title


def test_a_task(copied: Path) -> None:
    extend(copied, "A task")
    said = openr(
        copied, "solve", "What remains of 7 * 8 divided by 5?", *MODELS, "--task", "remainders", "--budget", "2"
    )
    assert "  answers " in said
    code = """
import asyncio, re
from envs.base_env import DataOptions, load_task
task = load_task("remainders")
first, again = task.problems(DataOptions(limit=3)), task.problems(DataOptions(limit=3))
assert first == again and len(first) == 3 and first != task.problems(DataOptions(split="train", limit=3))
a, b, m = (int(number) for number in re.findall(r"\\d+", first[0].question))
assert int(first[0].answer) == a * b % m
assert task.extract("It is 4, so 12") == "12" and task.extract("none") is None
assert asyncio.run(task.grader().equal("12", "12")).equal
"""
    subprocess.run([sys.executable, "-c", code], cwd=copied, env=os.environ | {"PYTHONPATH": str(copied)}, check=True)


def test_a_search_method(copied: Path) -> None:
    extend(copied, "A search method")
    assert "--give_up_below" in openr(copied, "eval", "--help")
    question = ["solve", "23 + 9 * 3 + 68", *MODELS, "--method", "greedy_steps"]
    assert re.search("^  answer +118$", openr(copied, *question), re.MULTILINE)
    assert re.search("^  answer +None$", openr(copied, *question, "--give_up_below", "1"), re.MULTILINE)


def test_a_prm_family(copied: Path, tmp_path: Path) -> None:
    extend(copied, "A PRM family")
    assert openr(copied, "cards", "show", "example-prm").strip() == EXAMPLES["A PRM family"].text.strip()
    (tmp_path / "example-prm-7b").mkdir()
    folder = save_prm(tmp_path / "example-prm-7b", card=None, num_labels=2)
    assert "card 'example-prm'" in openr(copied, "cards", "check", str(folder))
    said = openr(
        copied, "solve", "23 + 9 * 3 + 68", "--lm", "local:openr-tiny-policy", "--rm", f"local:{folder}", "--tree"
    )
    assert re.search(r"^ +0\.\d{3}  9 \* 3 = 27", said, re.MULTILINE)


def test_an_rl_algorithm(copied: Path, tmp_path: Path) -> None:
    extend(copied, "An RL algorithm")
    assert "--margin" in openr(copied, "train", "policy", "--help")
    policy = ["--model_name_or_path", "reason/llm_service/models/openr-tiny-policy", "--task_name", "arithmetic"]
    size = ["--num_updates", "1", "--questions", "4", "--group_size", "4", "--limit", "8", "--eval_limit", "4"]
    said = openr(
        copied, "train", "policy", *policy, *size, "--algorithm_name", "AboveMean", "--save_dir", str(tmp_path)
    )
    assert "Held-out accuracy on 4 questions" in said
