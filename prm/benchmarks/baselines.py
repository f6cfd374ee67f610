"""What a step's place and size alone say of it: baselines that a PRM of the arithmetic task has to beat.

Boosted trees that see a step's index, its length or its numbers, never the question. Each half of the questions is
scored by trees that were fitted on the other half, so that all steps have an honest score.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from prm.benchmarks.cases import Case, ScoredCases, halves

COLUMNS = {  # of the features below
    "step index": [0], "length": [1], "magnitude": [2, 3, 4], "index, length and magnitude": [0, 1, 2, 3, 4],
}  # fmt: skip
LARGEST = 1e18  # numbers are cut to this
_NUMBER = re.compile(r"\d+")
_RESULT = re.compile(r"= (-?\d+)")


def features(index: int, step: str) -> list[float]:
    """Index, characters, largest number, sum of the numbers, result (0 without one)."""
    numbers = [_bounded(text) for text in _NUMBER.findall(step)]
    result = _RESULT.search(step)
    return [index, len(step), max(numbers, default=0.0), sum(numbers), _bounded(result[1]) if result else 0.0]


def _bounded(text: str) -> float:
    return max(-LARGEST, min(LARGEST, float(text[:40])))


def baselines(cases: Sequence[Case]) -> list[ScoredCases]:
    """The cases scored by each baseline; none where a half of the questions lacks right or wrong steps.

    Raises ModuleNotFoundError without scikit-learn.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    half = halves(cases)
    places = [(i, j) for i, case in enumerate(cases) for j in range(len(case.steps))]
    x = np.array([features(j, cases[i].steps[j].strip()) for i, j in places])
    group = np.array([half[i] for i, _ in places])
    truth = np.array([cases[i].labels[j] for i, j in places])
    judged = np.array([j in cases[i].judged for i, j in places])
    if any(len(set(truth[judged & (group == h)])) < 2 for h in (0, 1)):
        return []
    scored = []
    for name, columns in COLUMNS.items():
        scores = np.zeros(len(places))
        for h in (0, 1):
            model = HistGradientBoostingClassifier(random_state=0)
            model.fit(x[judged & (group != h)][:, columns], truth[judged & (group != h)])
            scores[group == h] = model.predict_proba(x[group == h][:, columns])[:, 1]
        parts = np.split(scores, np.cumsum([len(case.steps) for case in cases])[:-1])
        scored.append(ScoredCases(f"baseline: {name}", list(cases), [part.tolist() for part in parts]))
    return scored
