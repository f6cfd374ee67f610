import numpy as np
import pytest
from scipy import stats as scipy_stats

from reason.evaluation.stats import bootstrap, mcnemar, mean, paired_bootstrap


def test_interval_of_a_share_is_close_to_the_normal_approximation():
    values = [1] * 620 + [0] * 380
    estimate, low, high = bootstrap(values)
    half = 1.96 * (0.62 * 0.38 / 1000) ** 0.5
    assert estimate == pytest.approx(0.62)
    assert low == pytest.approx(0.62 - half, abs=0.003)
    assert high == pytest.approx(0.62 + half, abs=0.003)


def test_interval_covers_the_truth_about_95_times_in_100():
    rng = np.random.default_rng(1)
    hits = 0
    for trial in range(300):
        _, low, high = bootstrap(list(rng.random(100) < 0.4), seed=trial, resamples=500)
        hits += low <= 0.4 <= high
    assert 0.90 <= hits / 300 <= 0.985


def test_constant_values_have_an_interval_of_no_width_and_one_value_is_enough():
    assert bootstrap([1, 1, 1]) == (1, 1, 1)
    assert bootstrap([0]) == (0, 0, 0)
    with pytest.raises(ValueError):
        mean([])


def test_pairing_narrows_the_interval_of_a_difference():
    rng = np.random.default_rng(0)
    a = (rng.random(500) < 0.5).astype(int).tolist()
    b = [x if i % 20 else 1 - x for i, x in enumerate(a)]
    difference = paired_bootstrap(a, b)
    assert difference.mean == pytest.approx(np.mean(a) - np.mean(b))
    assert difference.high - difference.low < 0.5 * (bootstrap(a).high - bootstrap(a).low) * 2**0.5


@pytest.mark.parametrize("only_a, only_b", [(0, 0), (5, 0), (3, 9), (20, 20), (40, 18)])
def test_mcnemar_is_the_exact_binomial_test_on_discordant_pairs(only_a, only_b):
    a = [1] * only_a + [0] * only_b + [1] * 7 + [0] * 4
    b = [0] * only_a + [1] * only_b + [1] * 7 + [0] * 4
    n = only_a + only_b
    expected = scipy_stats.binomtest(only_a, n).pvalue if n else 1.0
    assert mcnemar(a, b) == pytest.approx(expected)


def test_pairs_must_match_and_mcnemar_takes_only_zero_and_one():
    with pytest.raises(ValueError):
        paired_bootstrap([1], [1, 0])
    with pytest.raises(ValueError):
        mcnemar([0.5], [1])


def test_an_interval_does_not_depend_on_the_order_of_the_questions():
    values = [1.0] * 30 + [0.0] * 20
    assert bootstrap(values) == bootstrap(values[::-1]) == bootstrap(values[25:] + values[:25])
