"""Q, U and the choice, by hand."""

from math import isclose, sqrt

import pytest

from data.omegaprm.options import PRESETS, LabelOptions
from data.omegaprm.search import Q, U, score, select
from data.omegaprm.tree import McRollout, Point
from tests.data.omegaprm.chains import ChainLM, grow


def test_Q_by_hand():
    assert isclose(Q(MC=0.75, length=250, L=500, alpha=0.5, beta=0.9), 0.5**0.25 * 0.9**0.5)
    assert Q(1.0, 0, 500, 0.5, 0.9) == 1.0
    assert Q(0.9, 100, 500, 0.5, 0.9) > Q(0.2, 100, 500, 0.5, 0.9)  # likely right states first
    assert Q(0.9, 100, 500, 0.5, 0.9) > Q(0.9, 900, 500, 0.5, 0.9)  # short wrong rollouts first


def test_U_by_hand_falls_with_its_own_visits_and_grows_with_all():
    assert isclose(U(N=3, sum_N=16, c_puct=0.125), 0.125 * 4 / 4)
    assert U(0, 0, 0.125) == 0
    assert U(1, 9, 0.125) > U(2, 9, 0.125) > U(3, 9, 0.125)
    assert U(1, 16, 0.125) > U(1, 9, 0.125)


def planted(**options):
    """Two states with one wrong rollout each, and one rollout twice as long."""
    tree = grow(ChainLM(), **options)
    a, b = Point(("a\n",), c=3, k=4), Point(("b\n",), c=1, k=4)
    tree.points |= {a.steps: a, b.steps: b}
    texts = ((a, "x y", 2), (a, "x y z w", 4), (b, "x", 1))
    rollouts = [McRollout((*s.steps, text), 1, False, n, False) for s, text, n in texts]
    tree.pool = [(a, rollouts[0]), (a, rollouts[1]), (b, rollouts[2])]
    return tree, a, b, rollouts


def test_select_takes_the_best_counts_the_visit_and_lowers_U():
    tree, a, b, rollouts = planted(length_scale=2.0, c_puct=1.0)
    assert isclose(score(tree, a, rollouts[0], 0), 0.5**0.25 * 0.9)
    assert select(tree) == (a, rollouts[0]) and a.N == 1
    # now sqrt(sum N) = 1: U(a) = 1/2, U(b) = 1
    assert isclose(score(tree, a, rollouts[1], 1), 0.5**0.25 * 0.9**2 + 0.5)
    assert isclose(score(tree, b, rollouts[2], 1), 0.5**0.75 * 0.9**0.5 + 1.0)
    assert select(tree) == (b, rollouts[2]) and b.N == 1
    assert select(tree) == (a, rollouts[1]) and a.N == 2
    assert select(tree) is None
    assert isclose(U(a.N, 3, 1.0), sqrt(3) / 3)


def test_lengths_are_of_the_completion_in_tokens_or_words():
    tree, _, _, rollouts = planted(length_scale=10.0, length_unit="words")
    assert tree.length(rollouts[1]) == 4
    tree, _, _, rollouts = planted(length_scale=10.0)
    assert tree.length(rollouts[1]) == rollouts[1].num_tokens


async def test_L_is_the_median_rollout_unless_given():
    tree = grow(ChainLM(8, 0.2))
    await tree.estimate_root()
    lengths = sorted(r.num_tokens for r in tree.root.rollouts)
    assert tree.L == (lengths[7] + lengths[8]) / 2
    assert grow(ChainLM(), length_scale=500.0).L == 500


def test_presets():
    paper, openr = LabelOptions(**PRESETS["paper"]), LabelOptions(**PRESETS["openr"])
    for preset in (paper, openr, LabelOptions()):
        assert (preset.alpha, preset.beta, preset.c_puct) == (0.5, 0.9, 0.125)
    assert (paper.num_rollouts, paper.max_search_count) == (8, 100)
    assert (paper.length_scale, paper.length_unit) == (500, "tokens")
    assert (openr.num_rollouts, openr.max_search_count, openr.rollout_budget) == (16, 20, 200)
    assert (openr.length_scale, openr.length_unit) == (500, "words")


@pytest.mark.parametrize(
    "bad", [{"num_rollouts": 0}, {"rollout_budget": 8}, {"temperature": 0.0}, {"alpha": 0}, {"root_rollouts": 1},
            {"length_scale": 0.0}, {"c_puct": -1}, {"top_k": 0}, {"error": 0.0}]
)  # fmt: skip
def test_values_that_cannot_be_used_are_refused_in_one_line(bad):
    with pytest.raises(ValueError, match=next(iter(bad))) as refused:
        LabelOptions(**bad)
    assert "\n" not in str(refused.value)
