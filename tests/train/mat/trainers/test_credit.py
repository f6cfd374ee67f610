"""Step rewards from step scores, and comparisons inside groups, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from train.mat.runner.credit import CREDITS
from train.mat.trainers.groups import leave_one_out, normalised, rewards_to_go

SCORES = torch.tensor([0.9, 0.4, 0.6])


def test_difference_pays_changes_and_sums_to_the_last_score() -> None:
    found = CREDITS["difference"](SCORES)
    assert found.tolist() == pytest.approx([0.9, -0.5, 0.2])
    assert found.sum().item() == pytest.approx(0.6)


def test_min_form_puts_nearly_all_on_the_worst_step() -> None:
    """p = .8, -.2, .2, weights exp(-10 p) over their sum."""
    weights = [math.exp(-8), math.exp(2), math.exp(-2)]
    expected = [w / sum(weights) * p for w, p in zip(weights, [0.8, -0.2, 0.2])]
    found = CREDITS["min_form"](SCORES)
    assert found.tolist() == pytest.approx(expected, rel=1e-4)
    assert found.sum().item() == pytest.approx(-0.2, abs=0.02)


@pytest.mark.parametrize(("name", "pays"), [("sum", True), ("difference", False), ("min_form", False)])
def test_only_the_plain_sum_pays_for_more_steps(name: str, pays: bool) -> None:
    few, many = (CREDITS[name](torch.full((n,), 0.6)).sum().item() for n in (3, 12))
    assert (many > few + 1) == pays


def test_group_normalisation() -> None:
    rewards = torch.tensor([1.0, 0.0, 0.0, 1.0])
    std = math.sqrt(4 * 0.25 / 3)
    assert normalised(rewards).tolist() == pytest.approx([0.5 / std, -0.5 / std, -0.5 / std, 0.5 / std], rel=1e-3)
    assert normalised(rewards, by_std=False).tolist() == [0.5, -0.5, -0.5, 0.5]
    assert normalised(torch.ones(4)).tolist() == [0.0] * 4


def test_leave_one_out() -> None:
    """3 - (0 + 0) / 2, 0 - (3 + 0) / 2."""
    assert leave_one_out(torch.tensor([3.0, 0.0, 0.0])).tolist() == pytest.approx([3.0, -1.5, -1.5])


def test_rewards_to_go_are_sums_of_what_was_normalised_over_the_group() -> None:
    """All rewards 1, 2, 3: mean 2, std 1, so -1, 0 and 1; the first solution has the first two."""
    first, second = rewards_to_go([torch.tensor([1.0, 2.0]), torch.tensor([3.0])])
    assert first.tolist() == pytest.approx([-1.0, 0.0], abs=1e-3)
    assert second.tolist() == pytest.approx([1.0], abs=1e-3)
