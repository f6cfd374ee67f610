"""scripts/eval/scaling.sh: which runs it makes, leaves alone, and resumes. A stand-in takes the place of Python."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHELL = shutil.which("dash") or "sh"
PYTHON = """#!/bin/sh
# Writes down its arguments; as evaluate.py it leaves a run folder, unfinished for a method named $STOPS.
script=$(basename "$1")
printf '%s\\n' "$*" >>"$CALLS"
[ "$script" = evaluate.py ] || exit 0
while [ $# -gt 0 ]; do
    case $1 in --method) method=$2 ;; --save_dir) dir=$2 ;; esac
    shift
done
run=$dir/arithmetic/$method/20260101_000000
mkdir -p "$run"
[ "$method" != "$STOPS" ] || exit 130
errors=0
[ "$method" != "$FAILS" ] || errors=3
printf '[{"errors": %s,\\n"x": 0}]' "$errors" >"$run/avg_result.json"
[ "$errors" -eq 0 ] || exit 1
"""


@pytest.fixture
def scaling(tmp_path):
    """Runs the script; returns its status, what it said, and the commands it gave."""
    python, calls = tmp_path / "python", tmp_path / "calls"
    python.write_text(PYTHON)
    python.chmod(python.stat().st_mode | stat.S_IXUSR)

    def run(*words: str, **variables: str) -> tuple[int, str, list[str]]:
        calls.write_text("")
        ours = {"PYTHON": str(python), "CALLS": str(calls), "SAVE_DIR": str(tmp_path / "save")}
        ours |= {"STOPS": "", "FAILS": ""}
        done = subprocess.run(
            [SHELL, str(ROOT / "scripts/eval/scaling.sh"), *words], cwd="/", env=os.environ | ours | variables,
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr, calls.read_text().splitlines()

    return run


def test_runs_every_method_and_budget_and_best_of_n_at_the_largest(scaling):
    status, said, calls = scaling(METHODS="cot best_of_n dvts", BUDGETS="16 1 64 4", SCORERS="prm oracle")
    assert status == 0, said
    runs, report = calls[:-1], calls[-1]
    assert len(runs) == 1 + 2 * (1 + 4)
    assert sum("--method cot" in run for run in runs) == 1 and "--budget" not in runs[0] and "--RM" not in runs[0]
    assert ["--budget 64" in run for run in runs if "best_of_n" in run] == [True, True]
    budgets = [run.split("--budget ")[1].split()[0] for run in runs if "--method dvts" in run and "--RM prm" in run]
    assert budgets == ["16", "1", "64", "4"]
    assert report.startswith("reason/evaluation/report.py ") and report.count("20260101_000000") == len(runs)
    assert report.endswith("--budgets 16 1 64 4")


def test_goes_on_where_it_was_stopped(scaling):
    wanted = {"METHODS": "cot dvts rebase", "BUDGETS": "4"}
    status, _, calls = scaling(STOPS="dvts", **wanted)
    assert status == 130 and len(calls) == 2
    status, _, calls = scaling(**wanted)
    assert status == 0 and len(calls) == 3  # dvts, rebase and the report
    assert "--method dvts" in calls[0] and "--resume_dir" in calls[0]
    assert "--method rebase" in calls[1] and "--resume_dir" not in calls[1]
    assert calls[2].count("20260101_000000") == 3
    assert len(scaling(**wanted)[2]) == 1


def test_failed_questions_are_tried_again_and_end_with_status_1(scaling):
    wanted = {"METHODS": "dvts rebase", "BUDGETS": "4"}
    status, _, calls = scaling(FAILS="dvts", **wanted)
    assert status == 1 and len(calls) == 3
    status, _, calls = scaling(**wanted)
    assert status == 0 and len(calls) == 2 and "--method dvts" in calls[0] and "--resume_dir" in calls[0]


def test_other_settings_in_the_same_folder_are_refused(scaling):
    wanted = {"METHODS": "dvts", "BUDGETS": "4"}
    scaling("--temperature", "0.8", LIMIT="100", **wanted)
    for words, variables in [((), {"LIMIT": "100"}), (("--temperature", "0.8"), {"LIMIT": "50"})]:
        status, said, calls = scaling(*words, **variables, **wanted)
        assert status == 2 and "set SAVE_DIR" in said and said.count("\n") == 1 and not calls
