"""AUC, calibration, and which steps count."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from prm.benchmarks.cases import Case, ScoredCases
from prm.benchmarks.steps import auc, distinct, ece, figures, reliability


def case(labels, question="q", steps=None, values=None):
    return Case("file, line 1", "id", question, tuple(steps or (f"s{i}" for i in range(len(labels)))), labels, values)


def test_auc_is_the_rank_statistic_with_ties_and_weights():
    rng = np.random.default_rng(0)
    scores, labels, weights = rng.integers(0, 9, 200) / 8, rng.integers(0, 2, 200), rng.integers(0, 4, 200) * 1.0
    assert auc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))
    assert auc(scores, labels, weights) == pytest.approx(roc_auc_score(labels, scores, sample_weight=weights))
    assert auc(scores, np.ones(200, int)) is None


def test_calibration_by_hand():
    bins = reliability(np.array([0.05, 0.05, 0.95, 1.0]), np.array([0, 1, 1, 1]))
    assert [(row["count"], row["target"]) for row in bins] == [(2, 0.5), (2, 1.0)]
    assert ece(bins) == pytest.approx(0.5 * 0.45 + 0.5 * 0.025)


def test_steps_after_the_first_error_unlabelled_ones_and_repeated_ones_do_not_count():
    one = ScoredCases(
        "x", [case((1, -1, 0, 1)), case((1, 1), steps=["s0", "other"]), case((1,), question="another")],
        [[0.9, 0.8, 0.1, 0.7], [0.9, 0.6], [0.5]],
    )  # fmt: skip
    steps = distinct(one)
    assert steps.scores.tolist() == [0.9, 0.1, 0.6, 0.5] and steps.labels.tolist() == [1, 0, 1, 1]
    assert steps.repeated == 1


def test_accuracy_at_a_threshold_and_its_balanced_form():
    one = ScoredCases("x", [case((1, 1, 1, 0))], [[0.9, 0.8, 0.2, 0.1]])
    row = figures(one, {"0.5": 0.5, "mine": 0.15})
    assert row["accuracy at 0.5"] == 0.75 and row["balanced accuracy at 0.5"] == pytest.approx((2 / 3 + 1) / 2)
    assert row["accuracy at mine"] == 1 and row["auc"] == 1


def test_monte_carlo_values_have_a_calibration_of_their_own():
    one = ScoredCases("x", [case((1, 1, 0), values=(0.5, None, 0.0))], [[0.5, 0.9, 0.0]])
    row = figures(one, {})
    assert row["ece_of_values"] == pytest.approx(0) and row["ece"] > 0.1


def test_scores_outside_of_0_and_1_are_not_calibrated():
    row = figures(ScoredCases("x", [case((1, 0))], [[3.0, -2.0]]), {})
    assert row["ece"] is row["brier"] is row["reliability"] is None and row["auc"] == 1


def test_the_interval_resamples_questions_not_steps():
    cases = [case((1, 0), question=str(i)) for i in range(30)]
    many = [case((1,) * 10 + (0,), question=str(i)) for i in range(30)]  # the same verdicts, said ten times
    wide = figures(ScoredCases("x", cases, [[i % 3, 1.0] for i in range(30)]), {})["auc_interval"]
    still = figures(ScoredCases("x", many, [[i % 3] * 10 + [1.0] for i in range(30)]), {})["auc_interval"]
    assert still[1] - still[0] == pytest.approx(wide[1] - wide[0], rel=0.2)
