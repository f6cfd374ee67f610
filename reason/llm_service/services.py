"""Service processes: windows of a tmux session, or background processes where there is no tmux.

Each has NAME.sh (how it is started), NAME.log and NAME.pid in the log folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from reason.common.errors import RunError
from reason.llm_service.wait_ready import alive

# What decides how models run and reach a hub: a tmux server hands on the environment that it was started in, not ours.
HANDED_ON = re.compile(
    r"PATH|(LD|HF|HUGGINGFACE|TRANSFORMERS|TORCH|CUDA|NCCL|VLLM|FASTCHAT|OMP|KMP|MKL)_[A-Z0-9_]*"
    r"|(?i:(https?|all|no)_proxy)"
)
OURS = ("reason.llm_service.workers.", "fastchat.serve.controller")  # in a command line; ids are given again to others


def has_session(session: str) -> bool:
    """Whether tmux has this session."""
    return bool(shutil.which("tmux")) and _tmux("has-session", "-t", f"={session}").returncode == 0


def launch(
    name: str, command: Sequence[str], environment: Mapping[str, str], logdir: Path, session: str | None
) -> None:
    """Start a service in the tmux session, which its first service makes; None: in the background.

    Raises RunError where tmux refuses.
    """
    script, log, pid = (logdir / f"{name}.{ending}" for ending in ("sh", "log", "pid"))
    handed_on = {key: value for key, value in os.environ.items() if HANDED_ON.fullmatch(key)} | dict(environment)
    lines = [f"export {key}={shlex.quote(value)}" for key, value in handed_on.items()]
    lines += [f"echo $$ >{shlex.quote(str(pid))}", f"exec {shlex.join(command)} 2>&1"]
    for file, text in ((script, "\n".join(lines) + "\n"), (pid, "")):
        _write_privately(file, text)  # a token of the hub may be among the variables
    if session is None:
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["sh", str(script)], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        pid.write_text(f"{process.pid}\n")  # the same as the script writes, but before anybody can look for it
        return
    window = ["-n", name, "-c", os.getcwd(), f"sh {shlex.quote(str(script))} | tee {shlex.quote(str(log))}"]
    first = name == "controller"
    where = ["new-session", "-d", "-s", session] if first else ["new-window", "-d", "-t", f"={session}:"]
    done = _tmux(*where, *window)
    if done.returncode:
        raise RunError(f"tmux cannot start {name}: {done.stderr.strip()}")
    if first:
        _tmux("set-option", "-t", session, "remain-on-exit", "on")  # what a worker said last stays readable


def running(logdir: Path) -> list[int]:
    """The processes of the folder's pid files that run and are services."""
    return [pid for file in sorted(logdir.glob("*.pid")) if (pid := _pid(file)) and _is_service(pid, file)]


def stop(logdir: Path, session: str | None, grace_seconds: float) -> int:
    """End the services of a folder, and the tmux session; returns how many processes ran.

    A process that ignores the request is killed after `grace_seconds`.
    """
    pids = running(logdir)
    controller = _pid(logdir / "controller.pid")
    for pid in pids:
        # The heart-beat thread of FastChat's controller outlives a polite end.
        _kill(pid, signal.SIGKILL if pid == controller else signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while running(logdir) and time.monotonic() < deadline:
        time.sleep(0.2)
    for pid in running(logdir):
        _kill(pid, signal.SIGKILL)
    if session is not None and has_session(session):
        _tmux("kill-session", "-t", f"={session}")
    for pattern in ("*.pid", "*_worker_*.sh", "controller.sh"):
        for file in logdir.glob(pattern):
            file.unlink(missing_ok=True)
    return len(pids)


def _tmux(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["tmux", *words], capture_output=True, text=True)


def _write_privately(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)


def _pid(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _is_service(pid: int, file: Path) -> bool:
    said = subprocess.run(["ps", "-p", str(pid), "-o", "args="], capture_output=True, text=True).stdout
    starting = str(file.with_suffix(".sh"))  # the shell that is about to become the service
    return any(text in said for text in (*OURS, starting)) and alive(pid)


def _kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
