"""Losses by hand, and their gradients against the exact ones of a softmax policy."""

from __future__ import annotations

import math

import pytest
import torch

from train.mat.trainers import kl, losses


def test_unit_log_ratios_are_sums_or_means_of_those_of_tokens() -> None:
    of_tokens, units = torch.tensor([0.1, 0.2, 0.6]), torch.tensor([0, 0, 1])
    assert losses.unit_log_ratios(of_tokens, units, 2, mean=False).tolist() == pytest.approx([0.3, 0.6])
    assert losses.unit_log_ratios(of_tokens, units, 2, mean=True).tolist() == pytest.approx([0.15, 0.6])


def test_the_clip_takes_effect_where_the_ratio_has_gone_far_enough() -> None:
    """Ratios 1.5, 1.5, .5, .5 with A = 1, -1, 1, -1, bounds .8 and 1.28."""
    ratios = torch.tensor([1.5, 1.5, 0.5, 0.5]).log()
    each, clipped = losses.clipped(ratios, torch.tensor([1.0, -1.0, 1.0, -1.0]), low=0.2, high=0.28)
    assert each.tolist() == pytest.approx([-1.28, 1.5, -0.5, 0.8])
    assert clipped.tolist() == [True, False, False, True]


def test_no_gradient_beyond_the_clip() -> None:
    log_ratios = torch.tensor([1.5, 1.5]).log().requires_grad_()
    each, _ = losses.clipped(log_ratios, torch.tensor([1.0, -1.0]), 0.2, 0.2)
    each.sum().backward()
    assert log_ratios.grad is not None and log_ratios.grad.tolist() == pytest.approx([0.0, 1.5])


@pytest.mark.parametrize(
    ("how", "expected"),
    [("token", [1 / 4, 1 / 4]), ("sequence", [1 / 6, 1 / 2]), ("constant", [1 / 20, 1 / 20])],
)
def test_what_a_unit_weighs(how: str, expected: list[float]) -> None:
    """Sequences of three units and one, at most ten."""
    assert losses.unit_weights([3, 1], how, 10) == pytest.approx(expected)


def test_value_losses() -> None:
    """Huber with delta 2: 1 / 2 for d = 1, 2 (5 - 1) for d = 5; a value that went .5 is taken .2 from the old one."""
    values, old, returns = torch.tensor([1.0, 0.0, 0.5]), torch.tensor([1.0, 0.0, 0.0]), torch.tensor([2.0, 5.0, 1.0])
    free = losses.value_losses(values, old, returns, clip=0.0, huber_delta=2.0)
    assert free.tolist() == pytest.approx([0.5, 8.0, 0.125])
    near = losses.value_losses(values, old, returns, clip=0.2, huber_delta=2.0)
    assert near.tolist() == pytest.approx([0.5, 8.0, 0.32])


def test_large_negative_errors_cost_as_much_as_positive_ones() -> None:
    both = losses.value_losses(torch.tensor([12.0, -12.0]), torch.zeros(2), torch.zeros(2), 0.0, 10.0)
    assert both.tolist() == pytest.approx([70.0, 70.0])


def test_kl_estimators() -> None:
    """pi = .5, ref = .25: log pi - log ref = log 2."""
    policy, reference = torch.tensor([0.5]).log(), torch.tensor([0.25]).log()
    assert kl.k1(policy, reference).item() == pytest.approx(math.log(2))
    assert kl.k2(policy, reference).item() == pytest.approx(math.log(2) ** 2 / 2)
    assert kl.k3(policy, reference).item() == pytest.approx(0.5 - 1 + math.log(2))


def test_estimators_of_the_loss_have_the_gradient_of_the_kl_and_the_others_do_not() -> None:
    """In expectation over all tokens of a softmax policy: k2 and weighted k3 do, k1 has none, k3 alone has another."""
    torch.manual_seed(0)
    logits, reference = torch.randn(5, requires_grad=True), torch.randn(5).log_softmax(0)

    def gradient(loss: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(loss, logits)[0]

    logprobs = logits.log_softmax(0)
    exact = gradient((logprobs.exp() * (logprobs - reference)).sum())
    probabilities, old = logprobs.exp().detach(), logprobs.detach()

    def expected(terms: torch.Tensor) -> torch.Tensor:
        return gradient((probabilities * terms).sum())

    assert torch.allclose(expected(kl.in_loss("k2", logits.log_softmax(0), old, reference)), exact, atol=1e-6)
    assert torch.allclose(expected(kl.in_loss("k3", logits.log_softmax(0), old, reference)), exact, atol=1e-6)
    assert torch.allclose(expected(kl.k1(logits.log_softmax(0), reference)), torch.zeros(5), atol=1e-6)
    assert not torch.allclose(expected(kl.k3(logits.log_softmax(0), reference)), exact, atol=1e-2)


def test_weighted_k3_is_unbiased_off_policy_too() -> None:
    torch.manual_seed(1)
    logits, reference, old = torch.randn(5, requires_grad=True), torch.randn(5).log_softmax(0), torch.randn(5)
    old = old.log_softmax(0)
    logprobs = logits.log_softmax(0)
    exact = (logprobs.exp() * (logprobs - reference)).sum()
    assert (old.exp() * kl.in_loss("k3", logprobs, old, reference)).sum().item() == pytest.approx(
        exact.item(), rel=1e-5
    )


def test_importance_weights_are_cut_off() -> None:
    found = losses.importance_weights(torch.tensor([0.5, 4.0]).log(), cap=2.0)
    assert found.tolist() == pytest.approx([0.5, 2.0])
