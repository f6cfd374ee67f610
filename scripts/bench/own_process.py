"""One part of a benchmark in a process of its own, so that its peak memory is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Counted:
    """A process that has ended: what it said on stdout, and what the system counted of it."""

    status: int
    said: str
    cpu_seconds: float  # user and system
    peak_mb: float


def run_counted(
    command: Sequence[str], environment: Mapping[str, str] | None = None, errors_too: bool = False
) -> Counted:
    """Run a command to its end. It is killed where this process is told to end. `errors_too`: `said` has its stderr."""
    with tempfile.TemporaryFile("w+") as out:
        errors = subprocess.STDOUT if errors_too else None
        with subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=errors, env=os.environ | dict(environment or {})
        ) as process:
            try:
                _, status, usage = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)  # we collected it ourselves
            except BaseException:
                process.kill()
                raise
        out.seek(0)
        said = out.read()
    return Counted(process.returncode, said, usage.ru_utime + usage.ru_stime, megabytes(usage.ru_maxrss))


def in_own_process(module: str, trainer: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Start a benchmark's module again, with its arguments and `--trainer`; the row it prints last, with `peak_mb`.

    `environment` is added to this process's own. Raises CalledProcessError.
    """
    command = [sys.executable, "-m", module, *sys.argv[1:], "--trainer", trainer]
    ended = run_counted(command, environment)
    if ended.status:
        raise subprocess.CalledProcessError(ended.status, command)
    row: dict[str, Any] = json.loads(ended.said.strip().splitlines()[-1])
    return row | {"peak_mb": round(ended.peak_mb, 1)}


def megabytes(maxrss: int) -> float:
    """From what the system counts in: bytes on a Mac, KiB elsewhere."""
    return (maxrss / 1024 if sys.platform == "darwin" else maxrss) * 1024 / 1e6
