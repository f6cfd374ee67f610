"""The oracle on cases worked by hand."""

import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.arithmetic.expression import Op, apply, evaluate, reductions, replace, to_text
from envs.arithmetic.generator import LEVELS, generate
from envs.arithmetic.oracle import judge
from envs.base_env import Problem, StepVerdict, first_error

QUESTION = "(17 + 25) * 3 - 8"  # 118
RIGHT = ["17 + 25 = 42; 42 * 3 - 8\n", "42 * 3 = 126; 126 - 8\n", "126 - 8 = 118"]


def flags(question, steps):
    """Three letters a step: local, prefix, value; capital where true."""
    return [
        "".join(c.upper() if ok else c for c, ok in zip("lpv", (v.local_ok, v.prefix_ok, v.value_ok), strict=True))
        for v in judge(question, steps)
    ]


def test_a_right_solution():
    assert flags(QUESTION, RIGHT) == ["LPV"] * 3
    assert first_error(judge(QUESTION, RIGHT)) is None
    assert judge(Problem("0", QUESTION, "118"), RIGHT) == [StepVerdict(True, True, True)] * 3


@pytest.mark.parametrize(
    "steps, expected",
    [
        (["17 + 25 = 32; 32 * 3 - 8", "32 * 3 = 96; 96 - 8", "96 - 8 = 88"], ["lpv", "Lpv", "Lpv"]),  # followed on
        (["17 + 25 = 32; 42 * 3 - 8", "42 * 3 = 126; 126 - 8"], ["lpV", "LpV"]),  # the error heals in the rest
        (["17 + 25 = 42; 42 * 3 - 9"], ["lpv"]),  # the rest was copied wrongly
        (["17 + 25 = 42; 3 * 42 - 8"], ["lpV"]),  # the rest is another tree of the same value
        (["25 + 17 = 42; 42 * 3 - 8"], ["lpV"]),  # not an operation of the line above
        (["25 * 3 = 75; 17 + 75 - 8"], ["lpv"]),  # precedence
        (["17 + 25 = 42; (17 + 25) * 3 - 8"], ["lpV"]),  # idle
        (RIGHT[:1] + RIGHT[:1], ["LPV", "lpV"]),  # repeated
        (RIGHT + ["126 - 8 = 118"], ["LPV", "LPV", "LPV", "lpV"]),  # after the end
        (["17 + 25 = 42"], ["lpv"]),  # the rest is dropped
        (RIGHT[:2] + ["126 - 8 = 118; 118"], ["LPV", "LPV", "lpv"]),  # a number is no rest
        (["no", *RIGHT], ["lpv"] * 4),  # all is wrong after a malformed line
        (["17 + 25 = 42;"], ["lpv"]),
        (["17 + 25 = = 42; 42 * 3 - 8"], ["lpv"]),
        (["42 = 42; 42 * 3 - 8"], ["lpv"]),
        (["17 + 25 = 40 + 2; 42 * 3 - 8"], ["lpv"]),
        (["Wait, 17 + 25 = 42; 42 * 3 - 8"], ["lpv"]),  # only at level check
    ],
)
def test_wrong_steps(steps, expected):
    assert flags(QUESTION, steps) == expected


def test_two_operations_that_are_ready_may_go_in_either_order():
    assert flags("2 * 3 + 4 * 5", ["4 * 5 = 20; 2 * 3 + 20", "2 * 3 = 6; 6 + 20", "6 + 20 = 26"]) == ["LPV"] * 3


def test_negative_numbers():
    assert flags("3 - 8 + 20", ["3 - 8 = -5; -5 + 20", "-5 + 20 = 15"]) == ["LPV", "LPV"]
    assert flags("20 + (3 - 8)", ["3 - 8 = -5; 20 + (-5)", "20 + (-5) = 15"]) == ["LPV", "LPV"]


def test_taking_a_line_back_at_level_check():
    wrong, mended = "17 + 25 = 32; 32 * 3 - 8", "Wait, 17 + 25 = 42; 42 * 3 - 8"
    assert flags("<|check|>" + QUESTION, [wrong, mended, *RIGHT[1:]]) == ["lpv", "LpV", "LpV", "LpV"]
    assert flags("<|check|>" + QUESTION, [wrong, "Wait, 17 + 25 = 52; 52 * 3 - 8"]) == ["lpv", "lpv"]
    assert flags("<|check|>" + QUESTION, [RIGHT[0], mended]) == ["LPV", "lpV"]  # there was nothing to take back
    assert flags("<|check|>" + QUESTION, [mended]) == ["lpv"]


def test_more_steps_than_operations_plus_two_are_wrong():
    wrong, mended = "17 + 25 = 32; 32 * 3 - 8", "Wait, 17 + 25 = 32; 32 * 3 - 8"
    steps = [wrong, mended, mended, "Wait, " + RIGHT[0], *RIGHT[1:]]
    assert flags("<|check|>" + QUESTION, steps) == ["lpv", "lpv", "lpv", "LpV", "LpV", "lpv"]


@pytest.mark.parametrize("level", LEVELS)
def test_solutions_made_from_reductions_are_right_and_one_altered_value_is_found(level):
    rng = random.Random(0)
    for expr in islice(generate(level, "dev", 0), 30):
        question, steps, line = to_text(expr), [], expr
        while isinstance(line, Op):
            path, node = rng.choice(list(reductions(line)))
            value = apply(node.op, node.left, node.right)
            line = replace(line, path, value)
            rest = f"; {to_text(line)}" if isinstance(line, Op) else ""
            steps.append(f"{node.left} {node.op} {node.right} = {value}{rest}\n")
        assert flags(question, steps) == ["LPV"] * len(steps)
        assert steps[-1].split("= ")[1].strip() == str(evaluate(expr))
        at = rng.randrange(len(steps))
        head, _, tail = steps[at].partition(" = ")
        value, semicolon, rest = tail.partition(";")
        broken = steps[:at] + [f"{head} = {int(value) + 1}{semicolon}{rest}"]
        assert first_error(judge(question, broken)) == at


@given(st.text(max_size=80), st.lists(st.text(alphabet="0123456789+-*()=; \nWait,", max_size=60), max_size=12))
def test_never_raises_and_gives_one_verdict_a_step(question, steps):
    assert len(judge(question, steps)) == len(steps)
    assert len(judge("<|check|>1 + 2 + 3", steps)) == len(steps)


def test_huge_text_is_answered():
    assert flags(QUESTION, ["1" * 10**6, "(" * 10**6, "1 + 1 = 2; " + "1 + " * 10**5]) == ["lpv"] * 3
    assert flags("1 + " * 10**5 + "1", RIGHT) == ["lpv"] * 3
