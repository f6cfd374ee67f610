"""Different answers are never equal: pairs with known values, whichever of the two is the gold."""

import random

import pytest

from envs.grading.equal.compare import compare, warm_up
from tests.envs.grading.generator import different_expressions, different_numbers, equation_and_expression

warm_up()


def accepted(make, count, seed):
    rng = random.Random(seed)
    pairs = (make(rng) for _ in range(count))
    return [(a, b) for a, b in pairs if compare(a, b).equal or compare(b, a).equal]


@pytest.mark.parametrize(
    "make, count", [(different_numbers, 1500), (equation_and_expression, 1000), (different_expressions, 200)]
)
def test_no_different_answer_is_accepted(make, count):
    assert accepted(make, count, seed=1) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "make, count", [(different_numbers, 75_000), (equation_and_expression, 20_000), (different_expressions, 5_000)]
)
def test_of_100_000_different_answers_none_is_accepted(make, count):
    assert accepted(make, count, seed=0) == []
