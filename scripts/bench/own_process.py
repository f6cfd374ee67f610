"""One trainer of a benchmark in a process of its own, so that its peak memory is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def in_own_process(script: str, trainer: str, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Start a benchmark's file again, with its arguments and `--trainer`; the row it prints last, with `peak_mb`.

    `environment` is added to this process's own. Raises CalledProcessError.
    """
    command = [sys.executable, script, *sys.argv[1:], "--trainer", trainer]
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, env=os.environ | dict(environment or {}))
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        out.seek(0)
        row = json.loads(out.read().strip().splitlines()[-1])
    return row | {"peak_mb": round(megabytes(usage.ru_maxrss), 1)}


def megabytes(maxrss: int) -> float:
    """From what the system counts in: bytes on a Mac, KiB elsewhere."""
    return (maxrss / 1024 if sys.platform == "darwin" else maxrss) * 1024 / 1e6
