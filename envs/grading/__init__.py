"""Answers: where the final one of a text is, whether two mean the same, and the killable pool that judges.

    extract("... so \\\\boxed{0.5}.")                    # "0.5"
    await MathGrader().equal("\\\\frac{1}{2}", "0.5")     # Verdict(equal=True, reason="equal", path="number")

Text becomes one tree of nodes in `read/`; rules over nodes in `equal/` compare two trees; `pool/` bounds their time.
`envs.grading.equal.compare` compares in this process, without a bound.
"""

from envs.grading.extract import extract, extract_gold, marked_to_its_end
from envs.grading.math_grader import MathGrader, without_pool
from envs.grading.pool.pool import GradingPool, PoolError
from envs.grading.read.answer import parses

__all__ = [
    "GradingPool",
    "MathGrader",
    "PoolError",
    "extract",
    "extract_gold",
    "marked_to_its_end",
    "parses",
    "without_pool",
]
