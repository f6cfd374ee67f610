"""The live bar of a labelling run: rollouts and tokens a second, share of useful questions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from data.omegaprm.labeller import ERROR, LABELLED
from data.omegaprm.output import LabelRecord
from reason.evaluation.progress import Bar
from reason.inference.base import Stats


class LabelProgress(Bar):
    """See `Bar`."""

    def __init__(self, total: int, finished: Iterable[str], stats: Stats, rollouts: Callable[[], int]) -> None:
        """`finished`: statuses of questions that were finished before; `rollouts()`: how many were drawn since."""
        self._statuses, self._rollouts = Counter(finished), rollouts
        super().__init__(total, stats, self._statuses.total())

    def count(self, record: LabelRecord) -> None:
        """See `Bar`."""
        self._statuses[record["status"]] += 1

    def figures(self, seconds: float) -> dict[str, Any]:
        """See `Bar`."""
        failed = self._statuses[ERROR]
        judged = self._statuses.total() - failed
        figures = {
            "rollouts/s": f"{self._rollouts() / seconds:.1f}",
            "tok/s": f"{self.stats.generated_tokens / seconds:.0f}",
            "useful": f"{self._statuses[LABELLED] / judged:.0%}" if judged else "-",
        }
        return figures | ({"failed": failed} if failed else {})
