"""The grader of mathematics tasks: equal text is equal for free, the rest is judged in the pool."""

from __future__ import annotations

from envs.base_env import Verdict
from envs.grading.guard import MAX_CHARS
from envs.grading.pool.pool import GradingPool


class MathGrader:
    """Compares final answers in a pool of killable processes; safe from many questions, loops and threads at once."""

    def __init__(self, pool: GradingPool | None = None) -> None:
        self._pool = pool or GradingPool()

    async def equal(self, gold: str, answer: str) -> Verdict:
        """The verdict within the pool's limit. Never raises for bad text; raises PoolError when no process starts."""
        free = without_pool(gold, answer)
        return free or Verdict(**await self._pool.run({"gold": gold, "answer": answer}))

    async def close(self) -> None:
        """End the pool's processes."""
        self._pool.close()


def without_pool(gold: str, answer: str) -> Verdict | None:
    """The verdict that needs no parsing: equal text, blanks, and what is too long to look into."""
    gold, answer = gold.strip(), answer.strip()
    if not gold or not answer:
        return Verdict(False, "a blank answer", "text")
    if gold == answer:
        return Verdict(True, "equal text", "text")
    if max(len(gold), len(answer)) > MAX_CHARS:
        return Verdict(None, f"too costly: longer than {MAX_CHARS} characters", "guard")
    return None
