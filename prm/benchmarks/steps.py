"""Measures of single steps: AUC, accuracy, calibration. The truth is whether everything was right up to the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from data.preprocess.common import UNKNOWN
from prm.benchmarks.cases import Figures, ScoredCases

BINS = 10
RESAMPLES = 300


class Steps(NamedTuple):
    """Labelled steps up to and including the first error of their solution. Arrays of shape [steps]."""

    scores: np.ndarray
    labels: np.ndarray  # 1 right, 0 wrong
    values: np.ndarray  # MC values; nan where there is none
    questions: np.ndarray  # a number for each question
    repeated: int  # steps left out because solutions of a question share them


def distinct(scored: ScoredCases) -> Steps:
    """The steps that differ in text, label or in what is before them: one that several solutions share counts once."""
    seen: set[tuple[Any, ...]] = set()
    numbers: dict[str, int] = {}
    rows, repeated = [], 0
    for case, scores in zip(scored.cases, scored.scores, strict=True):
        number = numbers.setdefault(case.question, len(numbers))
        for i in case.judged:
            if case.labels[i] == UNKNOWN:
                continue
            key = (number, case.steps[: i + 1], case.labels[i])
            if key in seen:
                repeated += 1
                continue
            seen.add(key)
            value = None if case.values is None else case.values[i]
            rows.append((scores[i], case.labels[i], np.nan if value is None else value, number))
    columns = np.array(rows, dtype=float).reshape(-1, 4).T
    return Steps(columns[0], columns[1].astype(int), columns[2], columns[3].astype(int), repeated)


def figures(scored: ScoredCases, thresholds: Mapping[str, float]) -> Figures:
    """One row over the distinct steps; accuracy at each of the thresholds. None where a figure has no meaning.

    Calibration is of scores in [0, 1] alone: how far they are from the share of right steps (`ece`, `brier`) and,
    where the data hold Monte Carlo values, from those (`ece_of_values`).
    """
    steps = distinct(scored)
    right = int(steps.labels.sum())
    row: Figures = {
        "name": scored.name,
        "steps": len(steps.labels),
        "wrong_steps": len(steps.labels) - right,
        "repeated_steps": steps.repeated,
        "auc": auc(steps.scores, steps.labels),
        "auc_interval": auc_interval(steps),
        "ece": None, "brier": None, "ece_of_values": None, "reliability": None,
    }  # fmt: skip
    for name, threshold in thresholds.items():
        called_right = steps.scores >= threshold
        row[f"accuracy at {name}"] = float((called_right == steps.labels).mean()) if len(steps.labels) else None
        sides = [called_right[steps.labels == 1].mean(), 1 - called_right[steps.labels == 0].mean()] if (
            0 < right < len(steps.labels)) else []  # fmt: skip
        row[f"balanced accuracy at {name}"] = float(np.mean(sides)) if sides else None
    if len(steps.scores) and 0 <= steps.scores.min() and steps.scores.max() <= 1:
        row["reliability"] = reliability(steps.scores, steps.labels)
        row["ece"] = ece(row["reliability"])
        row["brier"] = float(((steps.scores - steps.labels) ** 2).mean())
        known = ~np.isnan(steps.values)
        if known.any():
            row["ece_of_values"] = ece(reliability(steps.scores[known], steps.values[known]))
    return row


def auc(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> float | None:
    """The chance that a right step scores above a wrong one, ties counting half; None without steps of both kinds.

    All arrays [steps]; `weights` are how often each step counts.
    """
    weights = np.ones(len(labels)) if weights is None else weights
    if not weights[labels == 1].sum() or not weights[labels == 0].sum():
        return None
    _, rank = np.unique(scores, return_inverse=True)
    right = np.bincount(rank, weights * labels)
    wrong = np.bincount(rank, weights * (1 - labels))
    below = np.cumsum(wrong) - wrong
    return float((right * (below + wrong / 2)).sum() / (right.sum() * wrong.sum()))


def auc_interval(steps: Steps, seed: int = 0) -> list[float] | None:
    """95 % interval of the AUC: questions are resampled, with all their steps."""
    if auc(steps.scores, steps.labels) is None:
        return None
    rng, count = np.random.default_rng(seed), steps.questions.max() + 1
    order = np.argsort(steps.scores, kind="stable")
    _, rank = np.unique(steps.scores[order], return_inverse=True)
    labels, questions = steps.labels[order], steps.questions[order]
    resampled = []
    for _ in range(RESAMPLES):
        times = np.bincount(rng.integers(0, count, count), minlength=count)
        value = auc(rank, labels, times[questions].astype(float))
        resampled += [] if value is None else [value]
    return [float(x) for x in np.quantile(resampled, [0.025, 0.975])] if resampled else None


def reliability(scores: np.ndarray, targets: np.ndarray, bins: int = BINS) -> list[Figures]:
    """For each of `bins` equal parts of [0, 1] that holds scores: their number, their mean and the targets' mean."""
    part = np.minimum((scores * bins).astype(int), bins - 1)
    return [
        {
            "low": b / bins, "high": (b + 1) / bins, "count": int((part == b).sum()),
            "score": float(scores[part == b].mean()), "target": float(targets[part == b].mean()),
        }
        for b in range(bins) if (part == b).any()
    ]  # fmt: skip


def ece(bins: list[Figures]) -> float:
    """Expected calibration error (Guo et al., 2017): sum over bins of n_b / n |mean target - mean score|."""
    total = sum(row["count"] for row in bins)
    return sum(row["count"] * abs(row["target"] - row["score"]) for row in bins) / total
