"""The benchmark's own arithmetic, and one row of it against a fake policy."""

import asyncio
import json
import subprocess
import sys

import pytest

from scripts.bench.omegaprm import area, bound, middles
from tests.data.omegaprm.chains import true_error
from tests.fakes import ROOT

MODULE = "scripts.bench.omegaprm"


@pytest.mark.parametrize(
    "n, error, points", [(8, 0, [4, 2, 1]), (8, 7, [4, 6, 7]), (8, 3, [4, 2, 3]), (1, 0, []), (2, 1, [1])]
)
def test_middles_are_those_of_a_search_that_is_never_misled(n, error, points):
    assert list(middles(n, error)) == points


def test_area_counts_ties_half():
    assert area([1.0, 0.5], [0.5, 0.0]) == ((1 + 1 + 0.5 + 1) / 4, 1 / 4)
    assert area([], [0.5]) == (None, None)


def test_bound_by_hand(monkeypatch):
    values = {1: 0.5, 2: 0.25, 3: 0.125}  # by number of steps: steps 1 and 2 are right, step 3 is wrong but lucky

    async def draw(lm, problem, steps, n, seed):
        return values[len(steps)]

    class Args:
        value_rollouts, seed = 4, 0

    monkeypatch.setattr("scripts.bench.omegaprm.draw", draw)
    monkeypatch.setattr("scripts.bench.omegaprm.true_error", lambda record, steps: true_error(steps))
    record = {"question_id": "p", "question": "q", "final_answer": "a"}
    steps = ["1\n", "2\n", "bad\n", "lost"]
    chance, least = asyncio.run(bound(None, record, steps, 4, Args))
    assert chance == pytest.approx((1 - 0.75**4) * 0.875**4)
    assert least == 0.25


def test_a_row_of_the_benchmark(services, tmp_path):
    words = ["--controller_addr", services, "--LM", "policy", "--levels", "5", "--limit", 6, "--rollout_budget", 96]
    words += ["--paths", 5, "--value_rollouts", 16, "--json", tmp_path / "out.json"]
    done = subprocess.run(
        [sys.executable, "-m", MODULE, *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    bench = json.loads((tmp_path / "out.json").read_text())
    (row,) = bench["rows"]
    assert bench["bench"] == "omegaprm" and sys.version.startswith(bench["machine"]["python"])
    assert {"efficiency", "first_error_accuracy", "bound", "auc", "labelled_steps_ratio"} < set(row)
    assert 0 < row["first_error_accuracy"] <= 1 and 0 < row["bound"] <= 1
