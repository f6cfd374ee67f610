"""The grader of mathematics tasks: equal text is equal for free, the rest is judged in the pool."""

from __future__ import annotations

from envs.base_env import Verdict
from envs.grading.pool import GradingPool

MAX_CHARS = 10_000  # of an answer; a longer one is not looked into


class MathGrader:
    """Compares final answers in a pool of killable processes; safe from many questions, loops and threads at once."""

    def __init__(self, pool: GradingPool | None = None) -> None:
        self._pool = pool or GradingPool()

    async def equal(self, gold: str, answer: str) -> Verdict:
        """The verdict within the pool's limit. Never raises for bad text; raises PoolError when no process starts."""
        if "".join(gold.split()) == "".join(answer.split()):
            return Verdict(True, "equal text", "text")
        if max(len(gold), len(answer)) > MAX_CHARS:
            return Verdict(None, f"too costly: longer than {MAX_CHARS} characters", "guard")
        return Verdict(**await self._pool.run({"gold": gold, "answer": answer}))

    async def close(self) -> None:
        """End the pool's processes."""
        self._pool.close()
