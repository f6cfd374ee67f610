"""What a step is, and how a solution ends."""

import pytest

from envs.base_env import ending, split_steps

BLANK = [
    ("a\n\n\n\nb", ["a\n\n\n\n", "b"]),
    ("a\n\n \n\nb\n\n", ["a\n\n \n\n", "b\n\n"]),
    ("\n\n\n\na\n\nb", ["\n\n\n\na\n\n", "b"]),
    ("a\n\n\n", ["a\n\n\n"]),
    ("a\n\n\nb", ["a\n\n", "\nb"]),
    ("\n\n \n\n", []),
    ("", []),
]


@pytest.mark.parametrize("text, steps", BLANK)
def test_no_step_is_blank_and_cutting_loses_nothing(text, steps):
    assert split_steps(text, "\n\n") == steps
    assert "".join(steps) == (text if text.strip() else "")


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
