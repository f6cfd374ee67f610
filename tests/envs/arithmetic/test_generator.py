"""Config, determinism, items and splits of the question generator."""

from itertools import islice

import pytest

from envs.arithmetic.expression import Op, apply, canonical, evaluate, operations, parse, reductions, replace, to_text
from envs.arithmetic.generator import LEVELS, SPLITS, TRAP_SHARE, generate, split_of
from envs.arithmetic.misconceptions import traps


def draw(level, split, seed, count):
    return list(islice(generate(level, split, seed), count))


@pytest.mark.parametrize("level", LEVELS)
def test_items_have_the_level_s_operations_and_stay_in_bounds(level):
    for expr in draw(level, "train", 1, 100):
        assert operations(expr) == LEVELS[level]
        assert 100 <= evaluate(expr) <= 1990
        assert parse(to_text(expr)) == expr
        while isinstance(expr, Op):
            path, node = next(reductions(expr))
            value = apply(node.op, node.left, node.right)
            assert value >= 2 and not (node.op == "*" and 1 in (node.left, node.right))
            expr = replace(expr, path, value)


def test_the_same_seed_gives_the_same_items_and_another_seed_others():
    assert draw("8", "train", 3, 50) == draw("8", "train", 3, 50)
    assert draw("8", "train", 3, 50) != draw("8", "train", 4, 50)
    assert draw("8", "train", 3, 50)[:10] == draw("8", "train", 3, 10)


def test_splits_share_no_canonical_question():
    held = {split: {canonical(e) for e in draw("3", split, 0, 1500)} for split in SPLITS}
    assert not held["train"] & held["test"]
    assert not held["train"] & held["dev"]
    assert not held["dev"] & held["test"]
    assert all(len(questions) == 1500 for questions in held.values())


def test_commuted_forms_are_in_one_split():
    for expr in draw("5", "test", 0, 50):
        assert isinstance(expr, Op)
        if expr.op == "+":
            assert split_of(Op("+", expr.right, expr.left)) == "test"


def test_the_share_of_questions_with_a_trap():
    counts = [len(traps(expr)) for expr in draw("8", "test", 0, 2000)]
    assert set(counts) == {0, 1}
    assert abs(sum(counts) / len(counts) - TRAP_SHARE) < 0.04


@pytest.mark.parametrize("level, split", [("4", "test"), ("8", "validation")])
def test_unknown_level_or_split_names_those_there_are(level, split):
    with pytest.raises(ValueError, match="is not one of"):
        next(generate(level, split, 0))
