"""F1 of the first error, and the threshold at which it is best."""

import random

import numpy as np
import pytest

from prm.benchmarks.cases import Case, ScoredCases
from prm.benchmarks.first_error import Curve, average, cross_fitted, figures, predicted


def case(error, count, question="q"):
    labels = [1] * count if error is None else [1] * error + [0] + [-1] * (count - error - 1)
    return Case("file, line 1", "id", question, tuple(f"step {i}" for i in range(count)), tuple(labels))


def scored(*pairs, question="q"):
    """Of (first error, scores)."""
    return ScoredCases("x", [case(error, len(s), question) for error, s in pairs], [list(s) for _, s in pairs])


def at(one, threshold):
    return figures(one, [threshold] * len(one.cases), "name")


def test_the_first_step_below_the_threshold_is_the_prediction():
    assert predicted([0.9, 0.4, 0.1], 0.5) == 1
    assert predicted([0.9, 0.5], 0.5) is None  # not below


def test_figures_by_hand():
    one = scored((1, [0.9, 0.2, 0.9]), (1, [0.4, 0.2]), (0, [0.1, 0.9]), (None, [0.9, 0.8]), (None, [0.9, 0.3]))
    row = at(one, 0.5)
    assert (row["wrong_solutions"], row["right_solutions"]) == (3, 2)
    assert row["first_error_accuracy"] == pytest.approx(2 / 3) and row["right_accuracy"] == 0.5
    assert row["f1"] == pytest.approx(2 * (2 / 3) * 0.5 / (2 / 3 + 0.5)) and row["accuracy"] == 0.6


def test_without_right_solutions_there_is_no_f1():
    one = scored((0, [0.1]), (1, [0.9, 0.1]))
    row = at(one, 0.5)
    assert row["first_error_accuracy"] == 1 and row["right_accuracy"] is row["f1"] is row["f1_interval"] is None
    assert Curve(one).best() is None and cross_fitted(one) is None


def test_nothing_right_is_an_f1_of_zero():
    assert at(scored((0, [0.9]), (None, [0.1])), 0.5)["f1"] == 0


def test_the_curve_is_what_counting_gives_and_best_is_its_maximum():
    rng = random.Random(0)
    for _ in range(30):
        pairs = []
        for _ in range(rng.randrange(2, 30)):
            scores = [rng.randrange(12) / 11 for _ in range(rng.randrange(1, 6))]  # few values: many ties
            pairs.append((rng.choice([None, *range(len(scores))]), scores))
        one = scored((0, [0.2]), (None, [0.7]), *pairs)
        thresholds = np.unique([score + d for _, s in pairs for score in s for d in (-1e-9, 0, 1e-9)])
        counted = [at(one, t) for t in thresholds]
        f1, on_wrong, on_right = Curve(one)(thresholds)
        assert on_wrong == pytest.approx([row["first_error_accuracy"] for row in counted])
        assert on_right == pytest.approx([row["right_accuracy"] for row in counted])
        assert f1 == pytest.approx([row["f1"] for row in counted])
        assert at(one, Curve(one).best())["f1"] == pytest.approx(f1.max())


def test_the_best_threshold_lies_in_the_middle_of_its_stretch():
    assert Curve(scored((0, [0.2]), (None, [0.6]))).best() == pytest.approx(0.4)


def test_unbounded_scores_are_fine():
    one = scored((1, [3.0, -5.0]), (None, [2.0, 4.0]))
    assert Curve(one).best() == pytest.approx(-1.5) and at(one, Curve(one).best())["f1"] == 1


def test_a_threshold_is_never_fitted_on_the_half_that_it_is_measured_on():
    low, high = ((0, [0.1]), (None, [0.3])), ((0, [0.6]), (None, [0.8]))
    first, second = scored(*low, question="a"), scored(*high, question="b")
    both = ScoredCases("x", first.cases + second.cases, first.scores + second.scores)
    assert cross_fitted(both) == pytest.approx([0.7, 0.7, 0.2, 0.2])


def test_the_average_over_subsets_is_not_weighted():
    small, large = scored((0, [0.1]), (None, [0.9])), scored(*[(0, [0.9]), (None, [0.9])] * 50)
    rows = [at(small, 0.5), at(large, 0.5)]
    assert average(rows)["f1"] == 0.5 and average(rows)["wrong_solutions"] == 51


def test_the_interval_holds_the_estimate_and_narrows_with_data():
    def width(n):
        pairs = [(0, [0.1 if i % 3 else 0.9]) if i % 2 else (None, [0.1 if i % 5 else 0.9]) for i in range(n)]
        cases = [case(error, 1, str(i)) for i, (error, _) in enumerate(pairs)]
        row = at(ScoredCases("x", cases, [s for _, s in pairs]), 0.5)
        low, high = row["f1_interval"]
        assert low <= row["f1"] <= high
        return high - low

    assert width(400) < width(40) / 2
