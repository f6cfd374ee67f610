"""One grading process: `python -m envs.grading.pool.worker LIMIT_SECONDS MEMORY_MIB`, started and killed by `pool`.

Reads one JSON object a line from standard input, {"gold", "answer"}, and answers with one line: {"equal", "reason",
"path"}. It bounds itself as well, so that it does not outlive a parent that was killed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from envs.base_env import Verdict

SOFT_SHARE = 0.3  # of the limit, in processor time, after which a comparison is given up without losing the process

Request = dict[str, Any]


class SoftLimit(BaseException):
    """Raised inside a comparison by the processor-time alarm; no `except Exception` on the way swallows it."""


def _give_up(signum: int, frame: object) -> None:
    raise SoftLimit


def answer(request: Request, judge: Callable[[Request], Verdict], soft_limit: float) -> Verdict:
    """The verdict, or why there is none."""
    try:
        signal.setitimer(signal.ITIMER_PROF, soft_limit, 0.1)
        verdict = judge(request)
        signal.setitimer(signal.ITIMER_PROF, 0)
        return verdict
    except SoftLimit:
        return Verdict(None, "timed out", "limit")
    except MemoryError:
        return Verdict(None, "too costly: out of memory", "limit")
    except RecursionError:
        return Verdict(None, "too costly: too deep", "limit")
    except Exception as error:  # a defect of the grader must not end the run; it is reported as the reason
        return Verdict(None, f"grader error: {type(error).__name__}: {error}"[:300], "error")


def serve(requests: BinaryIO, replies: BinaryIO, judge: Callable[[Request], Verdict], limit: float) -> None:
    """Answer until `requests` ends. Past `limit` + 1 seconds of wall time the kernel ends the process."""
    signal.signal(signal.SIGPROF, _give_up)
    _send(replies, {"ready": True})
    for line in requests:
        signal.setitimer(signal.ITIMER_REAL, limit + 1)
        try:
            verdict = answer(json.loads(line), judge, limit * SOFT_SHARE)
            signal.setitimer(signal.ITIMER_PROF, 0)
        except SoftLimit:  # the alarm rang between the verdict and its end
            verdict = Verdict(None, "timed out", "limit")
        signal.setitimer(signal.ITIMER_REAL, 0)
        _send(replies, {"equal": verdict.equal, "reason": verdict.reason, "path": verdict.path})


def _send(replies: BinaryIO, message: dict[str, Any]) -> None:
    replies.write(json.dumps(message).encode() + b"\n")
    replies.flush()


def main(judge: Callable[[Request], Verdict]) -> None:
    """Keep the pipe to the parent for replies alone: whatever a library prints goes to standard error."""
    limit, memory_mib = float(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20, memory_mib << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, replies, judge, limit)


if __name__ == "__main__":
    from envs.grading.equal.compare import compare, warm_up

    warm_up()
    main(lambda request: compare(request["gold"], request["answer"]))
