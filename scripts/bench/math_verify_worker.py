"""Math-Verify in a grading process of `envs.grading.pool`, for comparison."""

from __future__ import annotations

from math_verify import parse, verify

from envs.base_env import Verdict
from envs.grading.pool.worker import Request, main


def judge(request: Request) -> Verdict:
    """Math-Verify with its defaults."""
    return Verdict(bool(verify(parse(request["gold"]), parse(request["answer"]))), "", "math-verify")


if __name__ == "__main__":
    judge({"gold": "$1/2$", "answer": "\\boxed{0.5}"})
    main(judge)
