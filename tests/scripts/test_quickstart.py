"""The first command from its services to its table, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import ROOT, free_port

MODELS = ROOT / "reason" / "llm_service" / "models"
METHODS = ("cot", "best_of_n", "beam_search", "vanila_mcts")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not (Path(sys.prefix) / "done-core").exists(), reason="needs what scripts/setup_env.sh makes"),
    pytest.mark.skipif(not (MODELS / "openr-tiny-prm").is_dir(), reason="needs the embedded models"),
]


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Few problems, ports of their own, and at the end nothing that listens there."""
    controller, worker = free_port(), free_port(2)
    yield {
        "VENV": sys.prefix, "ENGINE": "transformers", "PROBLEMS": "4", "SAVE_DIR": str(tmp_path / "results"),
        "CONTROLLER_PORT": str(controller), "WORKER_BASE_PORT": str(worker),
    }  # fmt: skip
    for port in (controller, worker, worker + 1):
        with socket.socket() as s:
            assert s.connect_ex(("127.0.0.1", port)) != 0, f"something still listens on port {port}"
    left = subprocess.run(["ps", "-eo", "stat=,args="], capture_output=True, text=True, check=True).stdout
    assert not [line for line in left.splitlines() if f":{controller} " in line and not line.startswith("Z")]


@pytest.fixture
def no_tmux(tmp_path: Path) -> str:
    """A PATH with every program but tmux."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            if program.name != "tmux":
                (folder / program.name).unlink(missing_ok=True)
                (folder / program.name).symlink_to(program)
    return str(folder)


def test_four_methods_side_by_side(variables: dict[str, str], tmp_path: Path) -> None:
    command = ["sh", "scripts/quickstart.sh"]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, timeout=580, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table = done.stdout.split("95 % intervals.\n\n")[1].splitlines()
    assert [line.split()[0] for line in table[1:5]] == list(METHODS)
    folders = [Path(line.strip()) for line in done.stdout.splitlines() if line.startswith("    ") and "results" in line]
    assert [folder.parent.name for folder in folders] == list(METHODS)
    for folder in folders:
        records = [json.loads(line) for line in (folder / "record.jsonl").read_text(encoding="utf-8").splitlines()]
        assert len(records) == 4
        assert not [record for record in records if record["error"]]


@pytest.mark.parametrize(
    ("wait_for", "number"),
    [
        ("as background processes", signal.SIGINT),
        ("question/s", signal.SIGINT),
        ("question/s", signal.SIGTERM),
        ("question/s", signal.SIGHUP),
    ],
)
def test_a_signal_leaves_nothing_running(
    variables: dict[str, str], no_tmux: str, tmp_path: Path, wait_for: str, number: signal.Signals
) -> None:
    """While the services start, and while a method runs; without tmux, which the script says."""
    console = tmp_path / "console"
    with console.open("w") as file:
        process = subprocess.Popen(
            ["sh", "scripts/quickstart.sh"], cwd=ROOT, env=os.environ | variables | {"PATH": no_tmux},
            stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 240
        while wait_for not in console.read_text() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.2)
        if number is signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does
        else:
            process.send_signal(number)
        status = process.wait(60)
    assert wait_for in console.read_text()
    assert "there is no tmux" in console.read_text()
    assert status == 128 + number, console.read_text()
