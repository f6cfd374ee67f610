"""What one update does, whoever asks for it, and the course of the learning rate."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from reason.common.errors import RunError
from train.core.update import Learner, rate_share, update


def learner(start: float = 1.0, lr: float = 0.1) -> Learner:
    weight = nn.Parameter(torch.tensor([start]))
    return Learner("grad_norm", [weight], torch.optim.SGD([weight], lr=lr), lr)


def test_gradients_of_all_passes_are_added_and_clipped_once() -> None:
    """Loss 3 w + 4 w: a gradient of 7, clipped to 2, moves w by 0.1 x 2."""
    student = learner()
    [weight] = student.parameters
    figures = update([student], [3.0, 4.0], lambda part: (part * weight).sum(), 2.0, "here")
    assert figures == pytest.approx({"loss": 7.0, "grad_norm": 7.0})
    assert weight.item() == pytest.approx(1.0 - 0.2, abs=1e-5)
    assert weight.grad is None


def test_several_learners_are_clipped_apart() -> None:
    one, other = learner(), learner(lr=1.0)
    other = Learner("other", other.parameters, other.optimizer, 1.0)
    [a], [b] = one.parameters, other.parameters
    figures = update([one, other], [1.0], lambda part: (30 * a + 0.5 * b).sum(), 1.0, "here")
    assert figures == pytest.approx({"loss": 30.5, "grad_norm": 30.0, "other": 0.5})
    assert (a.item(), b.item()) == pytest.approx((0.9, 0.5), abs=1e-5)


@pytest.mark.parametrize(
    ("factor", "message"),
    [(math.nan, "the loss is nan at update 7"), (math.inf, "the loss is inf at update 7")],
)
def test_nothing_is_learnt_from_what_is_no_number(factor: float, message: str) -> None:
    student = learner()
    [weight] = student.parameters
    with pytest.raises(RunError, match=message):
        update([student], [1.0], lambda part: (factor * weight).sum(), 1.0, "update 7")
    assert weight.item() == 1.0


def test_a_gradient_that_is_no_number_is_found_where_the_loss_is_one() -> None:
    student = learner(start=0.0)
    [weight] = student.parameters
    with pytest.raises(RunError, match="grad_norm is inf at update 7"):
        update([student], [1.0], lambda part: weight.sqrt().sum(), 1.0, "update 7")
    assert weight.item() == 0.0


def test_the_learning_rate_rises_and_falls_and_is_never_0() -> None:
    assert [rate_share(n, 4, 0, None) for n in (1, 4)] == [1.0, 1.0]
    assert [rate_share(n, 4, 2, 2) for n in (1, 2, 3, 4)] == pytest.approx([0.5, 1.0, 1.0, 0.5])
    assert [rate_share(n, 4, 0, 0) for n in (1, 2, 3, 4)] == pytest.approx([1.0, 0.75, 0.5, 0.25])
    assert all(rate_share(n, 9, w, w) > 0 for n in range(1, 10) for w in range(9))


def test_a_learner_learns_at_a_share_of_its_rate() -> None:
    student = learner(lr=0.4)
    assert student.set_rate(0.5) == pytest.approx(0.2)
    assert student.optimizer.param_groups[0]["lr"] == pytest.approx(0.2)
