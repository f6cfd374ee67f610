"""One grading process: `python -m envs.grading.worker LIMIT_SECONDS MEMORY_MIB`, started and killed by `pool`.

Reads one JSON object a line from standard input and answers with one line: {"gold", "answer", "policy"} gives
{"equal", "reason", "path"}. It bounds itself as well, so that it does not outlive a parent that was killed.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import BinaryIO

SOFT_SHARE = 0.8  # of the limit, in processor time, after which a comparison is given up without losing the process
READY = b'{"ready": true}\n'


class SoftLimit(BaseException):
    """Raised inside a comparison by the processor-time alarm; no `except Exception` on the way swallows it."""


def _give_up(signum: int, frame: object) -> None:
    raise SoftLimit


def serve(requests: BinaryIO, replies: BinaryIO, limit: float) -> None:
    """Answer until `requests` ends. Past `limit` + 1 seconds of wall time the kernel ends the process."""
    from envs.grading.compare import compare, warm_up

    warm_up()
    signal.signal(signal.SIGPROF, _give_up)
    replies.write(READY)
    replies.flush()
    for line in requests:
        signal.setitimer(signal.ITIMER_REAL, limit + 1)
        request = json.loads(line)
        try:
            signal.setitimer(signal.ITIMER_PROF, limit * SOFT_SHARE, 0.1)
            verdict = compare(request["gold"], request["answer"])
            signal.setitimer(signal.ITIMER_PROF, 0)
            reply = {"equal": verdict.equal, "reason": verdict.reason, "path": verdict.path}
        except SoftLimit:
            reply = {"equal": None, "reason": "timed out", "path": "limit"}
        except MemoryError:
            reply = {"equal": None, "reason": "too costly: out of memory", "path": "limit"}
        except RecursionError:
            reply = {"equal": None, "reason": "too costly: too deep", "path": "limit"}
        except Exception as error:  # a defect of the grader must not end the run; it is reported as the reason
            reply = {"equal": None, "reason": f"grader error: {type(error).__name__}: {error}"[:300], "path": "error"}
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()


def main() -> None:
    """Keep the pipe to the parent for replies alone: whatever a library prints goes to standard error."""
    limit, memory_mib = float(sys.argv[1]), int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_AS, (memory_mib << 20, memory_mib << 20))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, replies, limit)


if __name__ == "__main__":
    main()
