"""Signals end a process with what it started, at once and whichever it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fakes import ROOT

PARENT = """
import sys
from reason.common.processes import ended_by_signals, run_to_end, undisturbed
with ended_by_signals():
    try:
        sys.exit(run_to_end(sys.argv[1:]))
    finally:
        with undisturbed():
            print("cleaned", flush=True)
"""
CHILD = "trap 'echo told; exit 3' INT TERM; echo $$; sleep 100 & echo $!; sleep 0.3; echo waits; wait"


def started(*command: str, ignoring: str = "") -> subprocess.Popen[str]:
    words = [sys.executable, "-c", PARENT, *command]
    if ignoring:
        words = ["sh", "-c", f"trap '' {ignoring}; exec \"$@\"", "sh", *words]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def runs(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def ends(pid: int, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not runs(pid)


@pytest.mark.parametrize(("words", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)])
def test_the_status_is_the_commands(words: str, status: int) -> None:
    process = started("sh", "-c", words)
    assert process.communicate(timeout=60) == ("cleaned\n", None)
    assert process.returncode == status


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=lambda x: str(x)
)
def test_a_signal_ends_the_command_and_its_children(number: signal.Signals, status: int) -> None:
    process = started("sh", "-c", CHILD)
    shell, sleep = (int(said(process)) for _ in range(2))
    assert said(process) == "waits\n"  # a shell that has only just forked may lose a signal
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    assert rest == "told\ncleaned\n"
    assert process.returncode == status if number is not signal.SIGINT else process.returncode in (130, -signal.SIGINT)
    assert ends(shell) and ends(sleep)


def test_a_second_signal_kills_what_will_not_end() -> None:
    process = started("sh", "-c", "trap '' INT TERM; echo $$; while :; do sleep 1; done")
    shell = int(said(process))
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert runs(shell)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == "cleaned\n"
    assert ends(shell)


def test_a_command_under_nohup_goes_on() -> None:
    process = started("sh", "-c", "echo $$; exec sleep 100", ignoring="HUP")
    said(process)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == "cleaned\n"
    assert process.returncode == 143
