"""Which steps are learnt and from what, by hand."""

import pytest

from prm.benchmarks.cases import Case
from prm.training.targets import targets


def case(labels, values=None):
    steps = tuple(f"step {i}" for i in range(len(labels)))
    return Case("f, line 1", "", "q", steps, tuple(labels), None if values is None else tuple(values))


WRONG_THIRD = case([1, -1, 0, 0, 1], [0.75, None, 0.0, 0.0, 0.5])
RIGHT = case([1, 1, 1], [0.5, 0.25, 1.0])


@pytest.mark.parametrize(
    ("kind", "solution", "expected"),
    [
        ("hard", WRONG_THIRD, [1.0, None, 0.0, None, None]),
        ("hard", RIGHT, [1.0, 1.0, 1.0]),
        ("soft", WRONG_THIRD, [0.75, None, 0.0, None, None]),
        ("soft", RIGHT, [0.5, 0.25, 1.0]),
        ("soft", case([1, 0]), [None, None]),
        ("orm", WRONG_THIRD, [None, None, None, None, 1.0]),
        ("orm", case([1, 0, 0]), [None, None, 0.0]),
        ("orm", case([1, -1]), [None, None]),
        ("ovm", case([1, 0, 0]), [0.0, 0.0, 0.0]),
        ("ovm", RIGHT, [1.0, 1.0, 1.0]),
        ("ovm", case([1, -1]), [None, None]),
    ],
)
def test_targets(kind, solution, expected):
    assert targets(solution, kind) == expected


def test_steps_after_the_first_error_only_when_asked_for():
    assert targets(WRONG_THIRD, "hard", after_first_error=True) == [1.0, None, 0.0, 0.0, 1.0]
    assert targets(WRONG_THIRD, "soft", after_first_error=True) == [0.75, None, 0.0, 0.0, 0.5]
