"""Which solutions of finished runs are learnt from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from train.mat.expert_iteration.collect import main

WAYS = ("10 + 20 = 30; 30 + 30\n30 + 30 = 60", "20 + 30 = 50; 10 + 50\n10 + 50 = 60")


def output(index: int, text: str, answer: str | None, verdict: bool | None, reason: str = "stop") -> dict[str, Any]:
    return {"path_idx": index, "text": text, "answer": answer, "verdict": verdict, "finish_reason": reason}


def record(identifier: str, question: str, gold: str, outputs: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    rest = {"level": "3", "error": None, "result": {"headline": 1}, "ledger": {}, "undecided": 0, "elapsed": 1.0}
    return {"id": identifier, "question": question, "gold": gold, "output": outputs} | rest | fields


def save_run(folder: Path, lines: list[dict[str, Any]], ended: bool = True, **arguments: Any) -> Path:
    folder.mkdir(parents=True)
    usual = {"task_name": "arithmetic", "split": "train", "data_path": None, "level": "3"}
    (folder / "config.json").write_text(json.dumps({"arguments": usual | arguments}))
    (folder / "record.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if ended:
        (folder / "avg_result.json").write_text("[{}]")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Of the first question two different solutions are right, of the second none, the third failed."""
    mixed = [
        output(0, WAYS[0], "60", True), output(1, WAYS[0] + "\n", "60", True), output(2, WAYS[1], "60", True),
        output(3, "10 + 20 = 31; 31 + 30\n31 + 30 = 61", "61", False), output(4, "10 + 20 = 30; 30 + 30", None, None),
        output(5, "30 + 30 = 60", "60", None), output(6, "10 + 20 + 30 = 60", "60", True, "length"),
    ]  # fmt: skip
    lines = [
        record("a", "10 + 20 + 30", "60", mixed),
        record("b", "10 + 20 + 70", "100", [output(0, "10 + 20 = 31; 31 + 70\n31 + 70 = 101", "101", False)]),
        record("c", "1 + 2 + 97", "100", [], error={"type": "ModelError", "message": "gone"}, result=None),
    ]
    return save_run(tmp_path / "run", lines)


def collected(out: Path, *arguments: Any) -> list[dict[str, str]]:
    assert main([*map(str, arguments), "--out", str(out)]) == 0
    return [json.loads(line) for line in out.read_text().splitlines()]


def test_right_solutions_are_kept_and_all_others_are_counted(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = collected(tmp_path / "out" / "rows.jsonl", run)
    assert {(row["prompt"], row["completion"]) for row in rows} == {("10 + 20 + 30", way) for way in WAYS}
    assert {row["id"] for row in rows} == {"a#0", "a#2"}
    said = capsys.readouterr().out
    assert "2 solutions of 1 questions, of 2" in said
    for count in ("2 wrong", "1 duplicate", "1 without an answer", "1 not graded", "1 cut", "1 failed questions"):
        assert count in said


def test_a_question_of_several_runs_is_one_question(run: Path, tmp_path: Path) -> None:
    lines = [record("other", "10+20 + 30", "60", [output(0, WAYS[1], "60", True), output(1, "60 = 60", "60", True)])]
    other = save_run(tmp_path / "other", lines)
    texts = {row["completion"] for row in collected(tmp_path / "rows.jsonl", run, other)}
    assert texts == {*WAYS, "60 = 60"}


def test_so_many_of_a_question_are_drawn_whatever_the_order_of_the_runs(tmp_path: Path) -> None:
    many = [output(i, f"{i} + 0 = 60", "60", True) for i in range(20)]
    runs = [save_run(tmp_path / str(i), [record("a", "10 + 20 + 30", "60", many[i::2])]) for i in range(2)]

    def texts(*arguments: Any) -> list[str]:
        return [row["completion"] for row in collected(tmp_path / "rows.jsonl", *arguments, "--max_solutions", 5)]

    assert len(set(texts(*runs))) == 5
    assert texts(*runs) == texts(*reversed(runs)) != texts(*runs, "--seed", 1)


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, *arguments: Any) -> str:
    assert main([*map(str, arguments), "--out", str(tmp_path / "rows.jsonl")]) == 2
    assert not (tmp_path / "rows.jsonl").exists()
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_what_is_held_out_is_not_learnt(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "held_out.jsonl"
    file.write_text('{"question": "10 +20 +30", "answer": "60"}\n')
    assert "1 of 2 training questions are held out too" in refused(capsys, tmp_path, run, "--eval_dataset_path", file)
    file.write_text('{"question": "10 +20 + 70", "answer": "100"}\n')
    rows = collected(tmp_path / "rows.jsonl", run, "--eval_dataset_path", file, "--drop_overlap")
    assert len(rows) == 2
    assert "1 held-out questions" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"split": "test"}, "is of split 'test'"),
        ({"ended": False}, "the run has not ended"),
        ({"task_name": "MATH", "data_path": "train.jsonl"}, "several tasks, arithmetic and MATH"),
    ],
)
def test_runs_that_may_not_be_learnt_from_are_refused(
    arguments: dict[str, Any], message: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save_run(tmp_path / "other", [], **arguments)
    assert message in refused(capsys, tmp_path, run, other)


def test_a_task_without_the_held_out_split_needs_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = save_run(tmp_path / "run", [], task_name="MATH", data_path="train.jsonl")
    assert "--eval_dataset_path" in refused(capsys, tmp_path, run)


def test_without_a_right_solution_there_is_nothing_to_learn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = save_run(tmp_path / "run", [record("a", "10 + 20 + 30", "60", [output(0, "x", None, None)])])
    assert "nothing to learn" in refused(capsys, tmp_path, run)
    assert "no such" in refused(capsys, tmp_path, tmp_path / "nowhere").lower()
