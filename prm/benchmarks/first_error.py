"""ProcessBench's measure (Zheng et al., 2024): is the first step scored below a threshold the first wrong one?

Accuracy on wrong and on right solutions by exact match of the index, or of "none"; F1 is their harmonic mean.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from prm.benchmarks.cases import Figures, ScoredCases, halves

RESAMPLES = 1000


def predicted(scores: Sequence[float], threshold: float) -> int | None:
    """Index of the first step that scores below the threshold; None: no step does."""
    return next((i for i, score in enumerate(scores) if score < threshold), None)


def f1(wrong: float, right: float) -> float:
    """Harmonic mean of the accuracies on wrong and on right solutions; 0 when both are."""
    return 2 * wrong * right / (wrong + right) if wrong + right else 0.0


def figures(scored: ScoredCases, thresholds: Sequence[float], name: str) -> Figures:
    """One row; `thresholds` holds one a case (they differ where halves are cross-fitted), `name` says how they came.

    Figures of a kind of solution that is not there, and F1 with them, are None. The interval of F1 is a percentile
    bootstrap over questions.
    """
    wrong = np.array([case.first_error is not None for case in scored.cases])
    hit = np.array([
        predicted(s, t) == case.first_error for case, s, t in zip(scored.cases, scored.scores, thresholds, strict=True)
    ])  # fmt: skip
    both = bool(wrong.any() and not wrong.all())
    on_wrong = float(hit[wrong].mean()) if wrong.any() else None
    on_right = float(hit[~wrong].mean()) if not wrong.all() else None
    return {
        "name": scored.name,
        "threshold_name": name,
        "threshold": sorted(set(thresholds)),
        "wrong_solutions": int(wrong.sum()),
        "right_solutions": int((~wrong).sum()),
        "first_error_accuracy": on_wrong,
        "right_accuracy": on_right,
        "accuracy": float(hit.mean()),
        "f1": f1(on_wrong, on_right) if on_wrong is not None and on_right is not None else None,
        "f1_interval": _interval(scored, wrong, hit) if both else None,
    }


def _interval(scored: ScoredCases, wrong: np.ndarray, hit: np.ndarray, seed: int = 0) -> list[float]:
    """95 % interval of F1: questions are resampled, with all their solutions."""
    _, question = np.unique([case.question for case in scored.cases], return_inverse=True)
    counts = np.zeros((question.max() + 1, 4))
    for column, mask in enumerate((wrong, wrong & hit, ~wrong, ~wrong & hit)):
        np.add.at(counts[:, column], question, mask)
    rng = np.random.default_rng(seed)
    resampled = []
    for _ in range(RESAMPLES):
        n_wrong, hit_wrong, n_right, hit_right = counts[rng.integers(0, len(counts), len(counts))].sum(axis=0)
        if n_wrong and n_right:
            resampled.append(f1(hit_wrong / n_wrong, hit_right / n_right))
    return [float(x) for x in np.quantile(resampled, [0.025, 0.975])] if resampled else [0.0, 1.0]


class Curve:
    """F1 as a function of the threshold, exactly.

    A case is hit by the thresholds of one interval (low, high]: of a wrong solution with its first error at e, low is
    the score of e and high the lowest before it; of a right one, low is minus infinity and high its lowest score.
    """

    def __init__(self, scored: ScoredCases) -> None:
        lows, highs, right_highs = list[float](), list[float](), list[float]()
        self.wrong = 0
        for case, scores in zip(scored.cases, scored.scores, strict=True):
            error = case.first_error
            if error is None:
                right_highs.append(min(scores))
                continue
            self.wrong += 1
            low, high = scores[error], min(scores[:error], default=np.inf)
            if low < high:
                lows.append(low)
                highs.append(high)
        self.low, self.high, self.right_high = (np.sort(values) for values in (lows, highs, right_highs))

    def __call__(self, thresholds: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """F1 and the accuracies on wrong and on right solutions, each of shape [thresholds]."""
        hit = np.searchsorted(self.low, thresholds, "left") - np.searchsorted(self.high, thresholds, "left")
        on_wrong = hit / max(1, self.wrong)
        on_right = 1 - np.searchsorted(self.right_high, thresholds, "left") / max(1, len(self.right_high))
        total = on_wrong + on_right
        return 2 * on_wrong * on_right / np.where(total > 0, total, 1), on_wrong, on_right

    def best(self) -> float | None:
        """The middle of the stretch of thresholds with the best F1; None without solutions of both kinds."""
        if not self.wrong or not len(self.right_high):
            return None
        ends = np.unique(np.concatenate([self.low, self.high, self.right_high]))
        ends = ends[np.isfinite(ends)]
        best = int(np.argmax(self(ends)[0]))  # F1 only changes at an end, and an interval holds its upper end
        middle = (ends[best] + ends[best - 1]) / 2 if best else ends[best]
        return float(middle if best and middle > ends[best - 1] else ends[best])


def cross_fitted(scored: ScoredCases) -> list[float] | None:
    """For each case the best threshold of the half of the questions it is not in; None where a half has none."""
    half = halves(scored.cases)
    best = []
    for other in (1, 0):
        kept = [i for i, h in enumerate(half) if h == other]
        best.append(Curve(ScoredCases("", [scored.cases[i] for i in kept], [scored.scores[i] for i in kept])).best())
    return None if None in best else [best[h] for h in half]  # type: ignore[misc]


def average(rows: Sequence[Figures]) -> Figures:
    """The unweighted mean of the subsets' rows at one threshold; None where a subset has no such figure."""
    means: Figures = {"name": "average", "threshold_name": rows[0]["threshold_name"], "threshold": rows[0]["threshold"]}
    means |= {name: sum(row[name] for row in rows) for name in ("wrong_solutions", "right_solutions")}
    for name in ("first_error_accuracy", "right_accuracy", "accuracy", "f1"):
        values = [row[name] for row in rows]
        means[name] = None if None in values else sum(values) / len(values)
    return means | {"f1_interval": None}
