"""Wait until the services answer: `python -m reason.llm_service.wait_ready --models NAME NAME --workers N`.

Ready: the controller lists every model, and N of its workers answer it. With `--logs FOLDER`, a process whose pid
file stands there and that has ended is reported with the last lines of its log, at once. Exit status 0 when ready,
1 otherwise.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reason.common.addresses import http_address, plain_address
from reason.common.command import Parser, run_command
from reason.common.errors import RunError

POLL_SECONDS = 0.5
SAY_SECONDS = 30  # between lines when nothing changes
TAIL_LINES = 15


class NotReady(RunError):
    """The services will not become ready; the message says why."""


def post(url: str) -> dict[str, Any]:
    """The JSON reply to an empty POST. Raises OSError or ValueError."""
    request = urllib.request.Request(url, data=b"{}", headers={"Content-Type": "application/json"}, method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # services are not behind the web's proxy
    with opener.open(request, timeout=10) as reply:
        data: dict[str, Any] = json.load(reply)
        return data


def missing(controller: str, models: Sequence[str], workers: int) -> str:
    """What is still missing, in words; empty when nothing is."""
    try:
        listed = post(f"{controller}/list_models")["models"]
        absent = [model for model in models if model not in listed]
        if absent:
            return f"the controller has no worker yet for {', '.join(absent)}"
        answering = int(post(f"{controller}/worker_get_status")["speed"])  # each worker that answers it adds 1
        return "" if answering >= workers else f"{answering} of {workers} workers answer"
    except (OSError, ValueError, KeyError):
        return f"the controller at {controller} does not answer yet"


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended but was not collected by its parent does not."""
    state = subprocess.run(["ps", "-p", str(pid), "-o", "stat="], capture_output=True, text=True).stdout.strip()
    return bool(state) and not state.startswith("Z")


def check_processes(logs: Path, names: Sequence[str] = ()) -> None:
    """Raises NotReady for a process that has ended, by the pid files NAME.pid beside NAME.log, and for one of `names`
    whose pid file is not there any more. The last lines of its log go to stderr.
    """
    for name in names:
        if not (logs / f"{name}.pid").exists():
            raise NotReady(f"{name} was stopped by somebody else")
    for file in sorted(logs.glob("*.pid")):
        pid = file.read_text().strip()
        if pid and not alive(int(pid)):
            log = file.with_suffix(".log")
            for line in log.read_text(errors="replace").splitlines()[-TAIL_LINES:] if log.is_file() else []:
                print(f"    {line}", file=sys.stderr)
            raise NotReady(f"{file.stem} has ended, above are the last lines of {log}")


def wait(
    controller: str, models: Sequence[str], workers: int, timeout: float, logs: Path | None, names: Sequence[str] = ()
) -> None:
    """Return when ready; progress goes to stdout. Raises NotReady, for a process in `logs` that has ended at once.

    `names`: of the processes that must be there.
    """
    start, said, said_at = time.monotonic(), "", 0.0
    while True:
        lack = missing(controller, models, workers)
        if logs:
            check_processes(logs, names)  # also when nothing lacks: it may be somebody else's controller that answers
        if not lack:
            break
        waited = time.monotonic() - start
        if waited > timeout:
            raise NotReady(f"not ready after {timeout:g} s: {lack}")
        if lack != said or waited - said_at > SAY_SECONDS:
            print(f"  {waited:4.0f} s: {lack}", flush=True)
            said, said_at = lack, waited
        time.sleep(POLL_SECONDS)
    print(f"  {time.monotonic() - start:4.0f} s: ready", flush=True)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser(prog="wait_ready", description="Wait until the services answer.")
    parser.add_argument("--controller-address", default=http_address("127.0.0.1", 28777))
    parser.add_argument("--models", nargs="+", required=True, help="names that the controller must list")
    parser.add_argument("--workers", type=int, default=1, help="workers that must answer")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds")
    parser.add_argument("--logs", type=Path, help="folder with NAME.pid and NAME.log of the processes to watch")
    args = parser.parse_args(arguments)
    return run_command(
        parser.prog,
        lambda: wait(plain_address(args.controller_address), args.models, args.workers, args.timeout, args.logs),
    )


if __name__ == "__main__":
    sys.exit(main())
