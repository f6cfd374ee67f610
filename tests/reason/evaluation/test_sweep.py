"""Sweeps: which runs are made, left alone, and resumed. A stand-in takes the place of the commands."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reason.evaluation import sweep

Sweeps = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def scaling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweeps:
    """Runs `sweep scaling`; returns its status and the commands that it gave.

    As evaluate the stand-in leaves a run folder: unfinished for a method named by `stops`, with failed questions for
    one named by `fails`.
    """

    def run(*words: str, stops: str = "", fails: str = "", what: str = "scaling", save: str = "my results"):
        calls: list[str] = []

        def stand_in(command: list[str]) -> int:
            module, *words = command[2:]
            name = module.removeprefix("reason.evaluation.")
            calls.append(" ".join([name, *words]))
            if name == "rescore":
                words += ["--method", "best_of_n"]
            if "--method" not in words:
                return 0
            given = dict(itertools.pairwise(words))
            folder = Path(given["--save_dir"]) / "arithmetic" / given["--method"] / "20260101_000000"
            folder.mkdir(parents=True, exist_ok=True)
            if given["--method"] == stops:
                return 130
            errors = 3 if given["--method"] == fails else 0
            (folder / "avg_result.json").write_text(json.dumps([{"errors": errors, "x": 0}]))
            return 1 if errors else 0

        monkeypatch.setattr(sweep, "run_to_end", stand_in)
        common = [what, "--LM", "policy", "--task_name", "arithmetic", "--save_dir", str(tmp_path / save)]
        return sweep.main([*common, *words]), calls

    return run


def test_runs_every_method_and_budget_and_best_of_n_at_the_largest(scaling: Sweeps) -> None:
    status, calls = scaling("--methods", "cot", "best_of_n", "dvts", "--budgets", "16", "1", "64", "4",
                            "--scorers", "prm", "oracle")  # fmt: skip
    assert status == 0
    runs, report = calls[:-1], calls[-1]
    assert len(runs) == 1 + 2 * (1 + 4)
    assert sum("--method cot" in run for run in runs) == 1 and "--budget" not in runs[0] and "--RM" not in runs[0]
    assert ["--budget 64" in run for run in runs if "best_of_n" in run] == [True, True]
    budgets = [run.split("--budget ")[1].split()[0] for run in runs if "--method dvts" in run and "--RM prm" in run]
    assert budgets == ["16", "1", "64", "4"]
    assert report.startswith("report ") and report.count("20260101_000000") == len(runs)
    assert report.endswith("my results/report --budgets 16 1 64 4")


def test_goes_on_where_it_was_stopped(scaling: Sweeps) -> None:
    wanted = ["--methods", "cot", "dvts", "rebase", "--budgets", "4", "--scorers", "prm"]
    status, calls = scaling(*wanted, stops="dvts")
    assert status == 130 and len(calls) == 2
    status, calls = scaling(*wanted)
    assert status == 0 and len(calls) == 3  # dvts, rebase and the report
    assert "--method dvts" in calls[0] and "--resume_dir" in calls[0]
    assert "--method rebase" in calls[1] and "--resume_dir" not in calls[1]
    assert calls[2].count("20260101_000000") == 3
    assert len(scaling(*wanted)[1]) == 1


def test_failed_questions_are_tried_again_and_end_with_status_1(scaling: Sweeps) -> None:
    wanted = ["--methods", "dvts", "rebase", "--budgets", "4", "--scorers", "prm"]
    status, calls = scaling(*wanted, fails="dvts")
    assert status == 1 and len(calls) == 3
    status, calls = scaling(*wanted)
    assert status == 0 and len(calls) == 2 and "--method dvts" in calls[0] and "--resume_dir" in calls[0]


def test_other_settings_in_the_same_folder_are_refused(scaling: Sweeps, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = ["--methods", "dvts", "--budgets", "4", "--scorers", "prm"]
    scaling(*wanted, "--limit", "100", "--", "--temperature", "0.8")
    capsys.readouterr()
    for words in (["--limit", "100"], ["--limit", "50", "--", "--temperature", "0.8"]):
        status, calls = scaling(*wanted, *words)
        said = capsys.readouterr().err
        assert status == 2 and "set SAVE_DIR" in said and said.count("\n") == 1 and not calls


def test_the_main_table_draws_best_of_n_once_a_seed(scaling: Sweeps) -> None:
    wanted = ["--scorers", "prm", "oracle", "--seeds", "0", "1", "--mcts_budget", "21"]
    status, calls = scaling(*wanted, what="main_table")
    assert status == 0
    assert sum("--method best_of_n" in call for call in calls) == 2
    assert [call.split()[0] for call in calls].count("rescore") == 2
    assert all("--budget 21" in call for call in calls if "--method vanila_mcts" in call)
    assert len(calls) == 1 + 2 * (3 + 3) + 1
    compared = calls[-1]
    assert compared.startswith("compare ") and compared.count("20260101_000000") == 1 + 2 * 6 + 2
    assert [call.split()[0] for call in scaling(*wanted, what="main_table")[1]] == ["compare"]
