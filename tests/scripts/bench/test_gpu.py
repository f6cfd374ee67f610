"""The GPU check: its rehearsal on a CPU, and a step that fails."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reason.common.errors import RunError
from reason.llm_service.layout import count_gpus
from scripts.bench import gpu
from tests.fakes import ROOT


def test_a_step_that_fails_is_a_row_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> list[gpu.Row]:
        raise RunError("the engine ended")

    models = [{"model": "policy", "parameters": 1}]
    monkeypatch.setattr(gpu, "steps", lambda bench: [("search", "vllm", fails), ("prm", "x", lambda: [{"n": 1}])])
    monkeypatch.setattr(gpu.Bench, "part", lambda bench, name: models)
    args = argparse.Namespace(out=tmp_path / "out", json=tmp_path / "gpu.json", rehearsal=True)
    assert gpu.measure(gpu.Bench(args, gpu.REHEARSAL)) == 1
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert (found["bench"], found["machine"]["rehearsal"]) == ("gpu", True)
    assert [(row["step"], row.get("error"), row.get("n")) for row in found["rows"]] == [
        ("search", "the engine ended", None), ("prm", None, 1),
    ]  # fmt: skip


def test_the_last_line_of_a_step_that_failed_is_its_error(tmp_path: Path) -> None:
    bench = gpu.Bench(argparse.Namespace(out=tmp_path, rehearsal=True), gpu.REHEARSAL)
    with pytest.raises(RunError, match=r"ended with status 1: .*No module named .*some.log"):
        bench.run("some", "reason.nosuch_module")


@pytest.mark.skipif(bool(count_gpus()), reason="this machine has a GPU")
def test_without_a_gpu_the_rehearsal_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu.main([]) == 2
    assert "--rehearsal" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_rehearsal_makes_every_step(tmp_path: Path) -> None:
    command = ["sh", "scripts/bench/gpu.sh", "--rehearsal"]
    environment = os.environ | {"OUT": str(tmp_path / "my out"), "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=880)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "my out" / "gpu.json").read_text())
    rows = {(row["step"], row.get("method")): row for row in found["rows"]}
    assert [name for name in rows if name[0] == "search"] == [("search", "best_of_n"), ("search", "beam_search")]
    assert [name for name in rows if name[0] == "prm"] == [
        ("prm", method) for method in ("one by one", "batched", "prefix cache")
    ]
    assert not [row for row in found["rows"] if "error" in row]
    assert rows["prm", "prefix cache"]["tokens_ratio"] < rows["prm", "batched"]["tokens_ratio"]
    assert rows["batch_invariance", None]["max_difference"] < 1e-5  # float32 of a CPU
    assert rows["rl", None]["sampler_gap"] < 1e-4
