"""Processes that end together: signals become exceptions, and a command is ended with all that it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType
from typing import BinaryIO, NoReturn

GRACE_SECONDS = 60.0  # for a command that was told to end, to write what it has
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(SystemExit):
    """This process was told to end by a signal. Its exit status is that of a shell: 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise Ended(number)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise Ended, as Ctrl-C raises KeyboardInterrupt, so that `finally` blocks run.

    A signal that this process was started to ignore (nohup, a shell's background job) stays ignored.
    """
    mine = [number for number in SIGNALS[1:] if signal.getsignal(number) is not signal.SIG_IGN]
    with _handled(mine, _end):
        yield


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Inside, this process ignores what would end it: for stopping what it started."""
    with _handled(SIGNALS, signal.SIG_IGN):
        yield


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Inside, signals wait until the end: for starting a process, which nobody could stop if half of it was done."""
    told: list[int] = []
    mine = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    with _handled(mine, lambda number, frame: told.append(number)):
        yield
    if told:
        signal.raise_signal(told[0])


@contextlib.contextmanager
def _handled(numbers: Sequence[signal.Signals], handler: signal._HANDLER) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python lets the main thread alone change them
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was)


def run_to_end(
    command: Sequence[str], environment: Mapping[str, str] | None = None, log: BinaryIO | None = None
) -> int:
    """Run a command and return its exit status, 128 and the number where a signal ended it. `log` takes its output.

    It has a process group of its own. Where this process is told to end, the group is told so at once and gets
    GRACE_SECONDS; told a second time, or after them, what is left is killed. Raises OSError where it cannot start.
    """
    process = None
    with ended_by_signals():
        try:
            with held():
                errors = None if log is None else subprocess.STDOUT
                process = subprocess.Popen(command, env=environment, stdout=log, stderr=errors, start_new_session=True)
            status = process.wait()
        except BaseException as ended:
            if process is not None:
                # SIGHUP would end a Python program without its `finally` blocks
                _end_group(process, signal.SIGINT if isinstance(ended, KeyboardInterrupt) else signal.SIGTERM)
            raise
    return status if status >= 0 else 128 - status


def _end_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    deadline = time.monotonic() + GRACE_SECONDS
    try:
        _tell_group(process.pid, number)
        while time.monotonic() < deadline and (process.poll() is None or _lives(process.pid)):
            if process.returncode is not None and number is signal.SIGINT:  # a shell's background jobs ignore it
                number = signal.SIGTERM
                _tell_group(process.pid, number)
            time.sleep(0.05)
    finally:
        _tell_group(process.pid, signal.SIGKILL)
        process.wait()


def _tell_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


def _lives(group: int) -> bool:
    """Whether a process of the group runs; one that ended and that nobody has collected does not."""
    listed = subprocess.run(["ps", "-e", "-o", "pgid=,stat="], capture_output=True, text=True).stdout
    return any(words[0] == str(group) and words[1][0] != "Z" for words in map(str.split, listed.splitlines()))
