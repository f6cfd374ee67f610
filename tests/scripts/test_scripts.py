"""The two commands: every script parses under a plain sh, and what is in the way is named in one line."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from pathlib import Path

import pytest

from tests.fakes import ROOT, free_port

ROOMS = ("data", "envs", "prm", "reason", "scripts", "train")
SCRIPTS = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.sh"))
SHELL = shutil.which("dash") or "sh"


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A script of scripts/, started in another folder, with variables from the environment."""
    command = [SHELL, str(ROOT / "scripts" / script)]
    return subprocess.run(
        command, cwd="/", env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


def one_line(done: subprocess.CompletedProcess[str], status: int) -> str:
    """What the script said; it must have been one line."""
    assert done.returncode == status, done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.fixture
def old_python(tmp_path: Path) -> Path:
    """A Python that says it is 3.8."""
    path = tmp_path / "python3.8"
    path.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.8.18\n[ "$1" = -V ]\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def endless_pip(tmp_path: Path) -> Path:
    """A Python that makes an environment with itself in it, whose pip writes its id and never ends."""
    path = tmp_path / "python3.12"
    path.write_text(
        "#!/bin/sh\n"
        'case "$1 $2" in\n'
        '    "-m venv") mkdir -p "$3/bin" && cp "$0" "$3/bin/python" ;;\n'
        f'    "-m pip") echo $$ >"{tmp_path}/pip.pid" && exec sleep 1000 ;;\n'
        "    -V*) echo Python 3.12.1 ;;\n"
        "esac\n"
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def free_ports() -> dict[str, str]:
    """Ports that quickstart.sh finds free."""
    return {"CONTROLLER_PORT": str(free_port()), "WORKER_BASE_PORT": str(free_port(2))}


@pytest.mark.parametrize("script", [*SCRIPTS, ROOT / ".ci" / "run"], ids=lambda path: str(path.relative_to(ROOT)))
def test_parses_under_sh(script: Path) -> None:
    done = subprocess.run([SHELL, "-n", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_says_what_it_is_for(script: Path) -> None:
    first, second = script.read_text(encoding="utf-8").splitlines()[:2]
    assert first == "#!/bin/sh"
    assert second.startswith("# ")


@pytest.mark.parametrize("script", ["quickstart.sh", "test.sh"])
def test_old_python_is_named(script: str, old_python: Path, tmp_path: Path, free_ports: dict[str, str]) -> None:
    line = one_line(run(script, PYTHON=str(old_python), VENV=str(tmp_path / "venv"), **free_ports), 2)
    assert "Python 3.8.18 is too old" in line
    assert "3.10" in line
    assert not (tmp_path / "venv").exists()


def test_missing_python_is_named(tmp_path: Path) -> None:
    line = one_line(run("setup_env.sh", PYTHON="python9", VENV=str(tmp_path / "venv")), 2)
    assert "there is no python9" in line


@pytest.mark.parametrize("script", ["quickstart.sh", "test.sh"])
def test_full_disk_is_named(script: str, tmp_path: Path, free_ports: dict[str, str]) -> None:
    line = one_line(run(script, NEED_MB="999999999", VENV=str(tmp_path / "venv"), **free_ports), 2)
    assert "the disk is full: 999999999 MB are needed" in line
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize("variable", ["CONTROLLER_PORT", "WORKER_BASE_PORT"])
def test_taken_port_is_named(variable: str, free_ports: dict[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        line = one_line(run("quickstart.sh", **free_ports | {variable: port}), 2)
    assert f"port {port} is taken" in line
    assert f"set {variable}" in line


def test_unknown_extra_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [SHELL, str(ROOT / "scripts" / "setup_env.sh"), "nosuch"],
        env=os.environ | {"VENV": str(tmp_path / "venv")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "no extra nosuch" in one_line(done, 2)


def test_ci_runs_the_second_command() -> None:
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8") == "bash scripts/test.sh\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_an_installation_at_once(
    number: signal.Signals, endless_pip: Path, tmp_path: Path, free_ports: dict[str, str]
) -> None:
    ours = {"PYTHON": str(endless_pip), "VENV": str(tmp_path / "venv"), "NEED_MB": "1", **free_ports}
    process = subprocess.Popen(
        [SHELL, str(ROOT / "scripts" / "quickstart.sh")], env=os.environ | ours, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    pip = tmp_path / "pip.pid"
    deadline = time.monotonic() + 60
    while not (pip.exists() and pip.read_text().endswith("\n")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == 128 + number, said
    state = Path(f"/proc/{pip.read_text().strip()}/stat")
    assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_vllm_is_one_of_three_words(tmp_path: Path) -> None:
    assert "auto, cpu or none, not yes" in one_line(run("setup_env.sh", VLLM="yes", VENV=str(tmp_path / "venv")), 2)
