"""Benchmarks that are interrupted: the rows there are get written, and the services they started are stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from reason.llm_service import services
from scripts.bench.frame import bench_rows
from tests.fakes import ROOT

ENDLESS = """
import sys, time
from pathlib import Path
from scripts.bench.frame import bench_rows
with bench_rows("endless", Path(sys.argv[1]), device="none") as rows:
    rows.add({"n": 1, "x": 0.123456789})
    time.sleep(100)
"""


def begin(*words: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def written(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8"))


def test_a_table_and_its_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with bench_rows("some", tmp_path / "rows.json", 6, threads=3) as rows:
        rows.add({"a": 1, "b": 0.123456})
        rows.add({"a": "two", "b": None, "c": 3})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines] == [["a", "b"], ["1", "0.1235"], ["two", "None"]]
    found = written(tmp_path / "rows.json")
    assert list(found) == ["bench", "machine", "rows"]
    assert (found["bench"], found["machine"]["threads"]) == ("some", 3)
    assert found["rows"] == [{"a": 1, "b": 0.123456}, {"a": "two", "b": None, "c": 3}]


def test_an_error_before_the_first_row_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError), bench_rows("some", tmp_path / "rows.json"):
        raise ValueError
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_an_interrupted_run_writes_its_rows(tmp_path: Path, number: signal.Signals) -> None:
    process = begin("-c", ENDLESS, str(tmp_path / "rows.json"))
    assert process.stdout is not None
    assert [process.stdout.readline().split() for _ in range(2)] == [["n", "x"], ["1", "0.1235"]]
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode in (128 + number, -number)
    found = written(tmp_path / "rows.json")
    assert found["rows"] == [{"n": 1, "x": 0.123456789}]
    assert found["complete"] is False


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_of_two_benchmarks_side_by_side_one_can_be_ended(tmp_path: Path) -> None:
    """Each has services, a session and a log folder of its own; what is ended leaves nothing."""
    temporary = {name: tmp_path / name for name in ("ended", "other")}
    processes = {}
    for name, folder in temporary.items():
        folder.mkdir()
        words = ["-m", "scripts.bench.scaling", "--questions", "2", "3", "--num_sequence", "2"]
        processes[name] = begin(*words, "--json", str(tmp_path / f"{name}.json"), TMPDIR=str(folder),
                                ENGINE="transformers")  # fmt: skip
    ended, other = processes.values()

    def logs(name: str) -> Path:
        return next(iter(temporary[name].glob("scaling-*")), Path("none"))

    deadline = time.monotonic() + 300
    while len(services.running(logs("ended"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.2)
    session = f"scaling-{next(w for w in _arguments(logs('ended')) if w.isdecimal())}"
    ended.send_signal(signal.SIGTERM)
    ended.communicate(timeout=120)
    assert ended.returncode == 128 + signal.SIGTERM
    assert not services.has_session(session)
    assert not list(temporary["ended"].glob("scaling-*"))
    said, errors = other.communicate(timeout=400)
    assert other.returncode == 0, errors
    assert [row["questions"] for row in written(tmp_path / "other.json")["rows"]] == [2, 3]
    assert "Stopped 3 processes" in errors and "Stopped" not in said


def _arguments(logs: Path) -> list[str]:
    """The words that the controller was started with."""
    return (logs / "controller.sh").read_text().splitlines()[-1].replace("'", "").split()
