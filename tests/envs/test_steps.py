"""What a step is, and how a solution ends."""

import pytest

from envs.base_env import ending, split_steps


def test_cutting_into_steps_loses_nothing():
    for text in ("", "a", "a\n", "a\n\nb", "\n", "a\nb\n"):
        assert "".join(split_steps(text, "\n")) == text
    assert split_steps("a\n\nb", "\n") == ["a\n", "\n", "b"]
    assert split_steps("", "\n") == []


@pytest.mark.parametrize("text, finish_reason, to_end, depth, expected", [
    ("a\n", "stop", False, 1, None),  # stopped at the separator
    ("a\n", "stop", False, 3, "length"),  # the last step that there may be
    ("a", "stop", False, 3, "stop"),  # the model ended its text
    ("a", "length", False, 1, "length"),
    ("a\nb\n", "stop", True, 5, "stop"),  # of a whole rest the separator says nothing, nor does the depth
    ("a\nb", "length", True, 2, "length"),
])  # fmt: skip
def test_how_a_solution_ends(text, finish_reason, to_end, depth, expected):
    assert ending(text, finish_reason, "\n", to_end, depth, max_depth=3) == expected
