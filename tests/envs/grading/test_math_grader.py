"""The grader in its pool, and the command line."""

import asyncio
import json
import subprocess
import sys
import threading
import time

import pytest

from envs.grading import GradingPool, MathGrader
from envs.grading.__main__ import main


@pytest.fixture(scope="module")
def grader():
    pool = GradingPool(processes=1)
    pool.warm_up()
    yield MathGrader(pool)
    pool.close()


def test_many_questions_at_once_and_hostile_ones_among_them(grader):
    async def ask():
        hostile = ["9^{9^{9^{9}}}", "(" * 4000, "9" * 4000, "\\boxed{__import__('time').sleep(9)}", "x" * 10_000_000]
        pairs = [("1/2", "0.5"), ("(1,2)", "(1,3)"), *(("42", text) for text in hostile)] * 3
        return pairs, await asyncio.gather(*(grader.equal(gold, answer) for gold, answer in pairs))

    started = time.monotonic()
    pairs, verdicts = asyncio.run(ask())
    assert time.monotonic() - started < 20
    for (_, answer), verdict in zip(pairs, verdicts, strict=True):
        assert verdict.equal is (True if answer == "0.5" else False if answer == "(1,3)" else verdict.equal)
        assert verdict.equal is not True or answer == "0.5"


def test_from_threads(grader):
    found = []

    def work():
        found.append(asyncio.run(grader.equal("\\frac{3}{4}", "75\\%")).equal)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8


def test_blank_and_equal_texts_need_no_process():
    grader = MathGrader(GradingPool(worker=("-c", "raise SystemExit(1)")))
    assert asyncio.run(grader.equal("9^{9^{9}}", "9^{9^{9}}")).equal is True
    assert asyncio.run(grader.equal("5", "  ")).equal is False
    assert asyncio.run(grader.equal("5", "5" * 9999)).equal is None
    asyncio.run(grader.close())


def test_a_grading_process_loads_nothing_heavy():
    code = (
        "import sys; from envs.grading.equal.compare import warm_up; import envs.grading.pool.worker; warm_up();"
        "print([m for m in ('torch', 'transformers', 'sympy', 'numpy', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


ROWS = [
    {"id": 1, "kind": "equiv", "gold": "\\frac{1}{2}", "pred": "0.5", "expected": True},
    {"id": 2, "kind": "equiv", "gold": "[0,1)", "pred": "(0,1)", "expected": False},
    {
        "id": 3,
        "kind": "equiv",
        "gold": "$x=3$",
        "pred": "So the answer is \\boxed{3}.",
        "form": "text",
        "expected": True,
    },
    {"id": 4, "kind": "equiv", "gold": "7", "pred": "I give up on this long and difficult problem.", "form": "text"},
    {"id": 5, "kind": "equiv", "gold": "7", "pred": "9^{9^{9^{9}}}", "expected": False},
    {"id": 6, "kind": "extract", "pred": "The answer is 12.", "expected": "12"},
    {"id": 7, "kind": "extract", "pred": "", "expected": None},
    {"id": 8, "kind": "equiv", "gold": "3.14", "pred": "\\pi", "expected": True, "disputed": True},
]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_the_command_grades_a_file(tmp_path, capsys):
    out = tmp_path / "verdicts.jsonl"
    assert main([str(write(tmp_path / "rows.jsonl", ROWS)), "--out", str(out)]) == 0
    results = {row["id"]: row for row in map(json.loads, out.read_text().splitlines())}
    assert [results[i]["verdict"] for i in range(1, 6)] == ["equal", "not_equal", "equal", "not_equal", "undecided"]
    assert "too costly" in results[5]["reason"] and results[1]["path"] == "number"
    assert results[6]["extracted"] == "12" and results[7]["extracted"] is None
    assert all(row["seconds"] >= 0 for row in results.values())
    table = capsys.readouterr().out
    assert "100.00%" in table and "disputed" in table and "false accepts" in table


@pytest.mark.parametrize(
    "rows, message",
    [
        ([], "holds no rows"),
        ([{"id": 1, "kind": "other"}], "rows.jsonl, line 1: field 'kind' must be equiv or extract"),
        ([{"id": 1, "kind": "equiv", "gold": "1"}], "rows.jsonl, line 1: field 'pred' must be text"),
        ([{"kind": "extract", "pred": "1"}], "rows.jsonl, line 1: field 'id' is missing"),
    ],
)
def test_bad_rows_are_one_line_and_status_2(tmp_path, capsys, rows, message):
    assert main([str(write(tmp_path / "rows.jsonl", rows)), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert main([str(tmp_path / "none.jsonl"), "--out", str(tmp_path / "out")]) == 2
