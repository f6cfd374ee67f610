"""The loop as a shell script: it parses, refuses what cannot be before it serves, and stops what it started."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reason.llm_service import services
from tests.fakes import ROOT, free_port

SCRIPT = ROOT / "train/mat/scripts/self_improve.sh"


def refused(save_dir: Path, **variables: str) -> str:
    """What it says; nothing of it may be on stdout, where a served model is told of."""
    done = subprocess.run(
        ["sh", str(SCRIPT)], env=os.environ | {"save_dir": str(save_dir)} | variables, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_it_parses() -> None:
    done = subprocess.run(["sh", "-n", str(SCRIPT)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "value", "message"), [("start_from", "middle", "first or last"), ("iterations", "0", "at least 1")]
)
def test_settings_that_cannot_be_are_named(name: str, value: str, message: str, tmp_path: Path) -> None:
    assert message in refused(tmp_path / "new", **{name: value})
    assert not (tmp_path / "new").exists()


def test_a_folder_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "settings.txt").write_text("method=best_of_n\n")
    assert "other settings" in refused(tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("script", "number"),
    [("self_improve", signal.SIGTERM), ("self_improve", signal.SIGHUP), ("test_llm", signal.SIGINT)],
)
def test_a_signal_stops_the_services_and_the_run(script: str, number: signal.Signals, tmp_path: Path) -> None:
    port = str(free_port())
    variables = {"save_dir": str(tmp_path / "my runs"), "CONTROLLER_PORT": port, "WORKER_BASE_PORT": str(free_port(2)),
                 "PYTHON": sys.executable, "prm_name_or_path": "oracle", "eval_limit": "500"}  # fmt: skip
    command, console, logdir = (
        ["sh", str(SCRIPT.with_name(f"{script}.sh"))],
        tmp_path / "console",
        ROOT / f"logs_{script}" / port,
    )
    command += ["--num_worker", "1"] if script == "test_llm" else []
    with console.open("w") as file:
        process = subprocess.Popen(
            command, env=os.environ | variables, stdout=file, stderr=file, start_new_session=True
        )  # fmt: skip
    deadline = time.monotonic() + 300
    while "question/s" not in console.read_text() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert services.running(logdir), console.read_text()
    process.send_signal(number)
    assert process.wait(60) == 128 + number, console.read_text()
    assert not list(logdir.glob("*.pid"))
    assert not services.has_session(f"openr-{'improve' if script == 'self_improve' else 'test'}-{port}")
    left = subprocess.run(["ps", "-eo", "args="], capture_output=True, text=True, check=True).stdout
    assert f":{port} " not in left
    shutil.rmtree(logdir)
