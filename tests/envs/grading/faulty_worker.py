"""A grading process that sleeps, dies or takes memory when a request says so."""

import os
import time

from envs.base_env import Verdict
from envs.grading.equal.compare import compare
from envs.grading.pool.worker import main


def judge(request):
    if "sleep" in request:
        time.sleep(request["sleep"])
    if "spin" in request:
        while True:
            pass
    if "exit" in request:
        os._exit(3)
    if "allocate" in request:
        return Verdict(bytearray(request["allocate"])[0] == 1)
    return compare(request["gold"], request["answer"])


if __name__ == "__main__":
    main(judge)
