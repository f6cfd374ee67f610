"""From solutions to tokens: targets stand where prm.scoring reads, whatever the layout."""

import pytest

from prm.benchmarks.cases import Case, Skips
from prm.scoring.layout import Layouter
from prm.training.examples import Weights, balanced, lay_out, weighted
from reason.common.errors import UserError
from tests.prm.tiny import CARD, changed

STEPS = ("9 * 3 = 27; 23 + 27", "23 + 27 = 50", "50")


def case(*labels, steps=STEPS, values=None):
    return Case("rows.jsonl, line 7", "", "23 + 9 * 3", steps, labels, values)


@pytest.fixture(scope="module")
def layouter(tokenizer):
    return Layouter(CARD, tokenizer)


def test_targets_stand_at_the_scores_and_later_steps_are_cut_off(layouter):
    (example,) = lay_out([case(1, 0, 0)], layouter, "hard", Skips())
    layout = layouter.lay_out("23 + 9 * 3", STEPS[:2])
    assert tuple(example.ids) == layout.tokens
    assert example.positions == layout.positions
    assert all(example.ids[p] == layouter.tag for p in example.positions)
    assert example.targets == (1.0, 0.0)


def test_a_step_without_a_label_is_in_the_text_but_not_in_the_loss(layouter):
    (example,) = lay_out([case(1, -1, 1)], layouter, "hard", Skips())
    whole = layouter.lay_out("23 + 9 * 3", STEPS)
    assert tuple(example.ids) == whole.tokens
    assert example.positions == (whole.positions[0], whole.positions[2])
    assert example.targets == (1.0, 1.0)


def test_an_orm_learns_the_last_position_alone(layouter):
    (example,) = lay_out([case(1, 0, 0)], layouter, "orm", Skips())
    assert example.positions == layouter.lay_out("23 + 9 * 3", STEPS).positions[-1:]
    assert example.targets == (0.0,)


def test_an_outcome_layout_gives_one_input_for_each_step_that_is_learnt(tokenizer):
    closed = Layouter(changed(outcome=True, step_tag="", closing="end", self_test=None), tokenizer)
    parts = closed.lay_out("23 + 9 * 3", STEPS).parts
    (last,) = lay_out([case(1, 1, 1)], closed, "orm", Skips())
    assert (tuple(last.ids), last.positions) == (parts[-1].tokens, parts[-1].positions)
    every = lay_out([case(1, 1, 0)], closed, "ovm", Skips())
    assert [tuple(e.ids) for e in every] == [part.tokens for part in parts]
    assert [e.targets for e in every] == [(0.0,)] * 3


def test_a_solution_that_cannot_be_laid_out_is_a_bad_row(layouter):
    long = case(1, steps=("1" * 2000,))
    with pytest.raises(UserError, match=r"rows\.jsonl, line 7: the input is \d+ tokens"):
        lay_out([long, case(1, 1, 1)], layouter, "hard", Skips())
    skips = Skips(allowed=True)
    assert len(lay_out([long, case(1, 1, 1)], layouter, "hard", skips)) == 1
    assert len(skips.messages) == 1


def test_a_tag_in_a_step_does_not_move_a_target(layouter):
    (example,) = lay_out([case(1, 0, steps=("a<|step|>b", "c"))], layouter, "hard", Skips())
    assert len(example.positions) == 2
    assert [i for i, token in enumerate(example.ids) if token == layouter.tag] == list(example.positions)


@pytest.mark.parametrize(("kind", "what"), [("soft", "MC value"), ("orm", "last step"), ("hard", "labelled step")])
def test_nothing_to_learn(layouter, kind, what):
    with pytest.raises(UserError, match=rf"rows\.jsonl: nothing to learn.*{what}"):
        lay_out([case(-1, -1, -1)], layouter, kind, Skips())


def test_class_weights(layouter):
    examples = lay_out([case(1, 1, 1), case(0, 0, 0)], layouter, "hard", Skips())
    assert balanced(examples) == Weights(4 / 6, 4 / 2)
    assert [e.weights for e in weighted(examples, Weights(1.0, 3.0))] == [(1.0, 1.0, 1.0), (3.0,)]
    assert Weights(1.0, 3.0).of(0.25) == 0.25 + 0.75 * 3
    with pytest.raises(UserError, match="all 3 steps are right"):
        balanced(examples[:1])
