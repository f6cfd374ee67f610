"""Wait until the services answer: `python -m reason.llm_service.wait_ready --models NAME NAME --workers N`.

Ready: the controller lists every model, and N of its workers answer it. With `--logs FOLDER`, a process whose pid
file stands there and that has ended is reported with the last lines of its log, at once. Exit status 0 when ready,
1 otherwise.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.5
SAY_SECONDS = 30  # between lines when nothing changes
TAIL_LINES = 15


class NotReady(Exception):
    """The services will not become ready; the message says why."""


def post(url: str) -> dict[str, Any]:
    """The JSON reply to an empty POST. Raises OSError or ValueError."""
    request = urllib.request.Request(url, data=b"{}", headers={"Content-Type": "application/json"}, method="POST")
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # services are not behind the web's proxy
    with opener.open(request, timeout=10) as reply:
        return json.load(reply)


def missing(controller: str, models: list[str], workers: int) -> str:
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


def check_processes(logs: Path) -> None:
    """Raises NotReady for a process that has ended, by the pid files NAME.pid beside NAME.log."""
    for file in sorted(logs.glob("*.pid")):
        pid = file.read_text().strip()
        if pid and not alive(int(pid)):
            log = file.with_suffix(".log")
            lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:] if log.is_file() else []
            tail = "".join(f"\n    {line}" for line in lines)
            raise NotReady(f"{file.stem} has ended; the last lines of {log}:{tail}")


def wait(controller: str, models: list[str], workers: int, timeout: float, logs: Path | None) -> None:
    """Return when ready; progress goes to stdout. Raises NotReady."""
    start, said, said_at = time.monotonic(), "", 0.0
    while lack := missing(controller, models, workers):
        if logs:
            check_processes(logs)
        waited = time.monotonic() - start
        if waited > timeout:
            raise NotReady(f"not ready after {timeout:g} s: {lack}")
        if lack != said or waited - said_at > SAY_SECONDS:
            print(f"  {waited:4.0f} s: {lack}", flush=True)
            said, said_at = lack, waited
        time.sleep(POLL_SECONDS)
    print(f"  {time.monotonic() - start:4.0f} s: ready", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="wait_ready", description=__doc__)
    parser.add_argument("--controller-address", default="http://127.0.0.1:28777")
    parser.add_argument("--models", nargs="+", required=True, help="names that the controller must list")
    parser.add_argument("--workers", type=int, default=1, help="workers that must answer")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds")
    parser.add_argument("--logs", type=Path, help="folder with NAME.pid and NAME.log of the processes to watch")
    args = parser.parse_args()
    try:
        wait(args.controller_address.rstrip("/"), args.models, args.workers, args.timeout, args.logs)
    except NotReady as error:
        print(f"wait_ready: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
