"""Smaller budgets of best-of-N from one run of the largest."""

import random
from collections import Counter
from itertools import combinations

import pytest

from reason.common.errors import UserError
from reason.evaluation.runs import read
from reason.evaluation.subsample import balanced_orders, pass_at, subsample
from tests.reason.evaluation.runs import make_run, solution

# Two right solutions of low score, two that share a wrong answer (0.50 is 1/2), one of them of high score.
OUTPUTS = [
    solution("7", True, 0.3), solution("1/2", False, 0.9), solution("7", True, 0.4), solution("0.50", False, 0.1),
]  # fmt: skip


def at(tmp_path, budgets, **options):
    run = read(make_run(tmp_path, outputs=OUTPUTS, task="MATH", **options))
    return dict(zip(budgets, subsample(run, budgets), strict=True))


def test_votes_are_means_over_subsets(tmp_path):
    subs = at(tmp_path, [1, 2, 3])
    one, two, three = (subs[k].results["0"] for k in (1, 2, 3))
    assert one == {"majority_vote": 0.5, "headline": 0.5, "coverage": 0.5}
    # Weighted by score, a pair with one of each is right unless it holds the 0.9; so {0,2}, {0,3}, {2,3} of six.
    assert two["headline"] == pytest.approx(3 / 6, abs=0.1)
    assert two["majority_vote"] == pytest.approx(0.5, abs=0.1)  # {0,2} right, {1,3} wrong, four ties
    assert two["coverage"] == pytest.approx(5 / 6) and three["coverage"] == 1
    assert three["majority_vote"] == pytest.approx(0.5)  # equal answers count together, else 3 of 4
    assert three["headline"] == pytest.approx(1 / 4)  # only {0,2,3} is without the 0.9


def test_without_a_scorer_the_headline_is_the_majority(tmp_path):
    result = at(tmp_path, [2], rm=None)[2].results["0"]
    assert result["headline"] == result["majority_vote"]


def test_costs_are_the_subsets_share_and_the_config_says_so(tmp_path):
    sub = at(tmp_path, [1], failed=(1,))[1]
    assert (sub.ledger.generated_tokens, sub.ledger.prm_tokens_computed, sub.seconds) == (20, 10, 0.25)
    assert set(sub.results) == {"0"} and (sub.questions, sub.errors) == (2, 1)
    assert sub.config["method_config"] == {"num_sequence": 1, "width": 4, "subsampled_from": 4}


def test_the_same_numbers_each_time_and_in_any_order(tmp_path):
    a, b = at(tmp_path, [1, 2, 3]), at(tmp_path, [3, 2])
    assert a[2].results == b[2].results and a[3].results == b[3].results


def test_too_few_solutions_are_named(tmp_path):
    with pytest.raises(UserError, match="question 0 has too few solutions"):
        at(tmp_path, [6], budget=8)


def test_orders_are_balanced():
    orders = list(balanced_orders(5, random.Random(0)))
    assert len(orders) >= 64 and all(sorted(order) == list(range(5)) for order in orders)
    for k in range(1, 6):
        assert set(Counter(i for order in orders for i in order[:k]).values()) == {len(orders) * k // 5}


def test_pass_at_k_is_the_share_of_subsets_with_a_right_one():
    for n, right, k in [(6, 2, 3), (4, 0, 2), (5, 5, 1), (5, 1, 5)]:
        subsets = list(combinations(range(n), k))
        assert pass_at(k, n, right) == pytest.approx(sum(min(s) < right for s in subsets) / len(subsets))
