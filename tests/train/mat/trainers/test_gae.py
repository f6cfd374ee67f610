"""Advantage estimation, by hand."""

from __future__ import annotations

import pytest
import torch

from train.mat.trainers.gae import gae, token_gae

REWARDS, VALUES = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0.5, 1.0, 1.5])


def test_steps_of_a_terminated_episode() -> None:
    """delta = 1 + .9 - .5, 0 + 1.35 - 1, 2 - 1.5 = 1.4, .35, .5; A_2 = .5, A_1 = .35 + .45 A_2, A_0 = 1.4 + .45 A_1."""
    found = gae(REWARDS, VALUES, 7.0, terminated=True, gamma=0.9, lam=0.5)
    assert found.tolist() == pytest.approx([1.4 + 0.45 * 0.575, 0.575, 0.5])


def test_a_truncated_episode_counts_the_value_of_its_next_state() -> None:
    found = gae(REWARDS, VALUES, 7.0, terminated=False, gamma=0.9, lam=0.5)
    assert found[2].item() == pytest.approx(0.5 + 0.9 * 7.0)
    assert found[1].item() == pytest.approx(0.35 + 0.45 * 6.8)


def test_without_a_critic_and_discount_it_is_the_reward_to_come() -> None:
    assert gae(REWARDS, torch.zeros(3), 0.0, True, gamma=1.0, lam=1.0).tolist() == [3.0, 2.0, 2.0]


def test_tokens_discount_over_the_ends_of_steps_alone() -> None:
    """Steps of two and one tokens: inside a step delta = V' - V and A = delta + .8 A'; over its end .9 and .9 x .5."""
    rewards, values = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.5, 1.0, 1.5])
    found = token_gae(rewards, values, 7.0, True, [2, 3], gamma=0.9, lam=0.5, token_lam=0.8)
    last = 2 - 1.5
    second = 1 + 0.9 * 1.5 - 1 + 0.45 * last
    assert found.tolist() == pytest.approx([(1 - 0.5) + 0.8 * second, second, last])


def test_tokens_as_steps_are_the_same_as_steps() -> None:
    as_tokens = token_gae(REWARDS, VALUES, 7.0, False, [1, 2, 3], gamma=0.9, lam=0.5, token_lam=0.1)
    assert torch.allclose(as_tokens, gae(REWARDS, VALUES, 7.0, False, gamma=0.9, lam=0.5))


def test_a_long_step_is_not_discounted_for_its_length() -> None:
    """With lambda 1 inside steps the first token of a step has the step's own return, however long it is."""
    rewards = torch.zeros(9)
    rewards[[7, 8]] = torch.tensor([1.0, 1.0])
    found = token_gae(rewards, torch.zeros(9), 0.0, True, [8, 9], gamma=0.5, lam=1.0, token_lam=1.0)
    assert found[0].item() == found[7].item() == pytest.approx(1.5)
