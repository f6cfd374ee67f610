"""scripts/bench/learning.py: which runs it makes, leaves alone and goes on with, and what it says of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from reason.common.files import read_json, write_json
from scripts.bench import learning
from scripts.bench.learning import Failed, Job, main, parser, rl_job, run_all, state_settings
from scripts.bench.learning_figure import draw, smooth
from scripts.bench.learning_table import Run, row_of, table
from train.mat.arguments import check_arguments
from train.mat.arguments import parser as parser_of_training


def run_of(accuracies: list[float], right: int, problems: int = 10) -> Run:
    """An evaluation an update of 512 solutions; `right` test problems are solved."""
    rows: list[dict] = [{"update": 0, "eval_accuracy": accuracies[0]}]
    for update, accuracy in enumerate(accuracies[1:], 1):
        row = {"update": update, "eval_accuracy": accuracy, "solutions": 512.0, "seconds_sampling": 3.0}
        row |= {"seconds_learning": 2.0, "reward": 1.0, "accuracy": 0.5, "length": 100.0, "steps": 8.0}
        rows.append(row)
    return Run(rows, {str(i): int(i < right) for i in range(problems)})


@pytest.mark.parametrize("kind", learning.KINDS)
def test_training_understands_the_arguments_of_every_kind(kind: str, tmp_path: Path) -> None:
    args = parser().parse_args(["--out", str(tmp_path)])
    command = rl_job(args, kind, 2).command
    found = parser_of_training().parse_args(command[command.index("train.mat.train_llm") + 1 :])
    check_arguments(found)
    assert (found.seed, found.max_seconds, found.eval_split) == (2, 1200.0, "dev")
    assert Path(found.model_name_or_path).is_dir()
    assert found.prm_name_or_path is None or Path(found.prm_name_or_path).is_dir()


def test_a_run_that_was_started_is_resumed(tmp_path: Path) -> None:
    args = parser().parse_args(["--out", str(tmp_path)])
    started = tmp_path / "grpo" / "seed0" / "arithmetic" / "GRPO" / "20260101_000000"
    started.mkdir(parents=True)
    (started / "config.json").write_text("{}")
    command = rl_job(args, "grpo", 0).command
    assert command[-2:] == ["--resume", str(started)]
    assert "--resume" not in rl_job(args, "grpo", 1).command


def job(folder: Path, name: str, code: str) -> Job:
    return Job(name, [sys.executable, "-c", code], folder / name / "output.log", folder / name / "done.json")


def test_finished_work_is_not_done_again(tmp_path: Path) -> None:
    jobs = [job(tmp_path, name, f"print('did {name}')") for name in ("one", "two")]
    for _ in range(2):
        run_all(jobs, 2, 1)
    assert jobs[0].log.read_text() == "did one\n"
    assert read_json(jobs[1].finished)["threads"] == 1


def test_a_failure_stops_the_rest_and_names_its_log(tmp_path: Path) -> None:
    slow = job(tmp_path, "slow", "import time; time.sleep(60)")
    bad, never = job(tmp_path, "bad", "raise SystemExit(3)"), job(tmp_path, "never", "")
    with pytest.raises(Failed, match=f"bad ended with status 3: see {bad.log}"):
        run_all([slow, bad, never], 2, 1)
    assert not slow.finished.exists() and not never.log.exists()


def test_other_settings_in_the_same_folder_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state_settings(parser().parse_args(["--out", str(tmp_path), "--updates", "10"]))
    assert main(["--out", str(tmp_path), "--updates", "20"]) == 2
    said = capsys.readouterr().err
    assert "--updates 10, not 20" in said and said.count("\n") == 1


def test_the_table_of_hand_made_runs() -> None:
    before = {str(i): int(i < 5) for i in range(10)}
    runs = [run_of([0.6, 0.65, 0.72], right=7), run_of([0.6, 0.7, 0.7], right=9), run_of([0.6, 0.6, 0.6], right=5)]
    row = row_of("appo", runs, before, 0.7, 1000)
    assert row["before"] == 0.5 and row["after"] == pytest.approx(0.7)
    assert row["gains"] == pytest.approx([0.2, 0.4, 0.0]) and row["gain_sd"] == pytest.approx(0.2)
    low, high = row["gain_interval"]
    assert low < row["gain"] < high
    assert (row["solutions"], row["seconds"], row["updates"]) == (1024, 10, 2)
    assert (row["to_reach"], row["to_reach_range"], row["reached_seeds"]) == (768, [512, 1024], 2)
    assert row["to_reach_with_labels"] == 1768
    text = table([row], 0.7)
    assert "+20.0" in text and "to 70 %" in text and "2/3" in text


def test_guards_speak_as_they_did_in_training() -> None:
    rows: list[dict] = [{"update": 0, "eval_accuracy": 0.6}]
    rows += [{"update": i, "accuracy": 0.5, "length": 100.0 if i <= 10 else 300.0, "steps": 8.0} for i in range(1, 21)]
    [warning] = Run(rows, {}).warnings()
    assert "100.0 to 300.0 tokens" in warning


def test_smoothing_is_a_mean_of_the_last_updates() -> None:
    assert smooth([[float(i), 1.0] for i in range(7)])[-1] == [4.0, 1.0]
    assert smooth([[2.0], [4.0]]) == [[2.0], [3.0]]


def test_the_figure_is_written(tmp_path: Path) -> None:
    supervised = Run([{"update": 0, "eval_accuracy": 0.6}, {"update": 9, "eval_accuracy": 0.61}], {})
    hacked = [run_of([0.6, 0.5], 4), run_of([0.6, 0.5, 0.4], 4)]
    runs = {"grpo": [run_of([0.6, 0.7, 0.8], 7)], "appo_sum": hacked, "supervised": [supervised]}
    for path in draw(runs, tmp_path / "figure" / "learning"):
        assert path.stat().st_size > 1000


@pytest.mark.slow
def test_every_sort_of_kind_from_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--out", tmp_path, "--kinds", "grpo", "rejection", "supervised", "--seeds", "0", "--updates", "1",
             "--questions", "8", "--group_size", "8", "--eval_limit", "4", "--test_limit", "4", "--level", "8",
             "--threads", "1", "--json", tmp_path / "table.json"]  # fmt: skip
    assert main(list(map(str, words))) == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "table.json").read_text())
    assert [row["kind"] for row in found["rows"]] == ["grpo", "supervised", "rejection"]
    assert all(row["problems"] == 4 and row["seeds"] == 1 for row in found["rows"])
    assert found["rows"][0]["updates"] == 1 and found["rows"][0]["solutions"] == 64
    write_json(tmp_path / "grpo" / "seed0" / "test.json", dict.fromkeys(read_json(tmp_path / "test.json"), 1))
    assert main(list(map(str, words))) == 0  # nothing is done again
    assert "100.0" in capsys.readouterr().out
