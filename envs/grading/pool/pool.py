"""A pool of grading processes that may be killed: the only way to bound the time of a comparison for certain.

One dispatcher thread owns the processes. Callers come from any thread or event loop. A comparison that runs long
moves out of the way: a standby process takes over its place, so others are not delayed.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reason.common.errors import RunError

Request = dict[str, Any]
Reply = dict[str, Any]

START_SECONDS = 60.0  # a process that is not ready by then counts as failed
START_TRIES = 3
SLOW_SECONDS = 0.2  # of a comparison, after which its place is given to the standby process
MAX_SLOW = 6  # comparisons that may be out of the way at once


class PoolError(RunError):
    """The grading processes cannot be started; the message holds what they wrote to standard error."""


@dataclass(eq=False)
class _Process:
    popen: subprocess.Popen[bytes]
    deadline: float  # of the start, then of the job
    ready: bool = False
    job: _Job | None = None
    started: float = 0.0  # when the job was handed over
    buffer: bytearray = field(default_factory=bytearray)


@dataclass(eq=False)
class _Job:
    request: Request
    future: Future[Reply]


class GradingPool:
    """`processes` workers and one standby, started at the first use; `limit` is wall-clock seconds a comparison."""

    def __init__(
        self,
        processes: int = 1,
        limit: float = 3.0,
        memory_mib: int = 1024,
        standby: int = 1,
        worker: Sequence[str] = ("-m", "envs.grading.pool.worker"),  # Python's arguments; limit and memory follow
    ) -> None:
        self.processes, self.limit, self.memory_mib, self.standby = processes, limit, memory_mib, standby
        self.worker = tuple(worker)
        self.killed = 0
        self._lock = threading.Lock()
        self._all_ready = threading.Event()
        self._pending: deque[_Job] = deque()
        self._workers: list[_Process] = []
        self._thread: threading.Thread | None = None
        self._closing = False
        self._failed_starts = 0

    def submit(self, request: Request) -> Future[Reply]:
        """Queue a request; the future holds the worker's reply, or `equal` None when it was killed. Thread-safe."""
        job = _Job(request, Future())
        with self._lock:
            if self._closing:
                raise PoolError("the grading pool is closed")
            self._pending.append(job)
            if self._thread is None:
                self._start()
        self._wake()
        return job.future

    async def run(self, request: Request) -> Reply:
        """`submit`, awaited."""
        import asyncio  # not above: a grading process imports this package too, and needs none

        return await asyncio.wrap_future(self.submit(request))

    def warm_up(self) -> None:
        """Wait until every process is ready; raises PoolError when none starts."""
        self.submit({"gold": "1", "answer": "1"}).result()
        self._all_ready.wait(START_SECONDS)

    def pids(self) -> list[int]:
        """The processes of this moment."""
        return [worker.popen.pid for worker in list(self._workers)]

    def close(self) -> None:
        """End every process; what is still queued is cancelled. Safe to call twice."""
        with self._lock:
            self._closing = True
            thread = self._thread
        if thread is not None:
            self._wake()
            thread.join()
            atexit.unregister(self.close)

    def _start(self) -> None:
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._thread = threading.Thread(target=self._dispatch, name="grading-pool", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"w")
        except (BlockingIOError, OSError):
            pass  # a full pipe wakes it as well; a closed one has nobody to wake

    # What follows runs in the dispatcher's thread alone.

    def _dispatch(self) -> None:
        selector = selectors.DefaultSelector()
        selector.register(self._wake_read, selectors.EVENT_READ, None)
        try:
            while not self._closing:
                self._fill(selector)
                self._assign(selector)
                for key, _ in selector.select(self._patience()):
                    if key.data is None:
                        os.read(self._wake_read, 4096)
                    else:
                        self._receive(key.data, selector)
                self._enforce(selector)
        finally:
            self._end(selector)

    def _fill(self, selector: selectors.BaseSelector) -> None:
        """Keep `processes` workers that are not slow, and the standby."""
        slow = sum(self._is_slow(worker) for worker in self._workers)
        wanted = self.processes + self.standby + min(slow, MAX_SLOW)
        while len(self._workers) < wanted and self._failed_starts < START_TRIES:
            worker = self._spawn()
            self._workers.append(worker)
            selector.register(worker.popen.stdout, selectors.EVENT_READ, worker)  # type: ignore[arg-type]
        idle = [worker for worker in self._workers if worker.ready and worker.job is None]
        for worker in idle[: max(0, len(self._workers) - wanted)]:
            self._remove(worker, selector)
        if not self._workers and self._failed_starts >= START_TRIES:
            self._fail_all()

    def _spawn(self) -> _Process:
        root = str(Path(__file__).resolve().parents[3])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        popen = subprocess.Popen(
            [sys.executable, *self.worker, str(self.limit), str(self.memory_mib)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            start_new_session=True,  # an interrupt from the keyboard is the parent's affair
        )
        assert popen.stdout is not None
        os.set_blocking(popen.stdout.fileno(), False)
        return _Process(popen, time.monotonic() + START_SECONDS)

    def _assign(self, selector: selectors.BaseSelector) -> None:
        idle = [worker for worker in self._workers if worker.ready and worker.job is None]
        room = self.processes - sum(w.job is not None and not self._is_slow(w) for w in self._workers)
        for worker in idle[: max(0, room)]:
            job = self._next_job()
            if job is None:
                return
            now = time.monotonic()
            worker.job, worker.started, worker.deadline = job, now, now + self.limit
            try:
                assert worker.popen.stdin is not None
                worker.popen.stdin.write(json.dumps(job.request).encode() + b"\n")
                worker.popen.stdin.flush()
            except OSError:
                self._lose(worker, selector, "the grading process ended")

    def _next_job(self) -> _Job | None:
        while True:
            with self._lock:
                if not self._pending:
                    return None
                job = self._pending.popleft()
            if job.future.set_running_or_notify_cancel():
                return job

    def _receive(self, worker: _Process, selector: selectors.BaseSelector) -> None:
        assert worker.popen.stdout is not None
        chunk = os.read(worker.popen.stdout.fileno(), 1 << 16)
        if not chunk:
            self._lose(worker, selector, "the grading process ended")
            return
        worker.buffer += chunk
        if not worker.buffer.endswith(b"\n"):
            return
        reply = json.loads(bytes(worker.buffer))
        worker.buffer.clear()
        if worker.job is not None:
            worker.job.future.set_result(reply)
            worker.job = None
        else:
            worker.ready, self._failed_starts = True, 0
            if sum(other.ready for other in self._workers) >= self.processes + self.standby:
                self._all_ready.set()

    def _is_slow(self, worker: _Process) -> bool:
        return worker.job is not None and time.monotonic() - worker.started > SLOW_SECONDS

    def _patience(self) -> float | None:
        """Seconds until something must be done without being told: a deadline, or a job that becomes slow."""
        now, moments = time.monotonic(), []
        for worker in self._workers:
            if worker.job is not None or not worker.ready:
                moments.append(worker.deadline)
            if worker.job is not None and not self._is_slow(worker):
                moments.append(worker.started + SLOW_SECONDS + 0.001)
        return max(0.0, min(moments) - now) if moments else None

    def _enforce(self, selector: selectors.BaseSelector) -> None:
        now = time.monotonic()
        for worker in list(self._workers):
            if now >= worker.deadline and (worker.job is not None or not worker.ready):
                self._lose(worker, selector, f"timed out: killed after {self.limit:g} s")

    def _lose(self, worker: _Process, selector: selectors.BaseSelector, reason: str) -> None:
        """A process that hangs or died: kill it, and answer its job as undecided."""
        if worker.ready:
            self.killed += 1
        else:
            self._failed_starts += 1
        self._remove(worker, selector)
        if worker.job is not None:
            worker.job.future.set_result({"equal": None, "reason": reason, "path": "limit"})

    def _remove(self, worker: _Process, selector: selectors.BaseSelector) -> None:
        self._workers.remove(worker)
        selector.unregister(worker.popen.stdout)  # type: ignore[arg-type]
        worker.popen.kill()
        worker.popen.wait()
        for pipe in (worker.popen.stdin, worker.popen.stdout):
            try:
                pipe.close()  # type: ignore[union-attr]
            except OSError:
                pass  # unwritten bytes for a process that is gone

    def _fail_all(self) -> None:
        command = " ".join([sys.executable, *self.worker, f"{self.limit:g}", str(self.memory_mib)])
        error = PoolError(f"no grading process starts; see why with: {command}")
        while (job := self._next_job()) is not None:
            job.future.set_exception(error)

    def _end(self, selector: selectors.BaseSelector) -> None:
        for worker in list(self._workers):
            self._remove(worker, selector)
            if worker.job is not None:
                worker.job.future.set_exception(PoolError("the grading pool was closed"))
        while (job := self._next_job()) is not None:
            job.future.set_exception(PoolError("the grading pool was closed"))
        selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
