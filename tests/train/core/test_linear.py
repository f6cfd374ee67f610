"""Linear layers as convolutions: the same numbers, gradients and names."""

import copy

import pytest
import torch
from torch import nn

from train.core.linear import ConvolvedLinear, convolve_linears


@pytest.mark.parametrize("shape", [(7,), (1, 13), (3, 17), (2, 3, 4)])
@pytest.mark.parametrize("bias", [True, False])
def test_numbers_and_gradients_are_those_of_a_linear_layer(shape, bias):
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(24, 40, bias=bias), nn.SiLU(), nn.Linear(40, 8, bias=bias))
    other = copy.deepcopy(plain)
    convolve_linears(other)
    assert all(type(layer) is ConvolvedLinear for layer in (other[0], other[2]))
    x = torch.randn(*shape, 24)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    for model, given in zip((plain, other), inputs, strict=True):
        found = model(given)
        assert found.shape == (*shape, 8)
        (found**2).sum().backward()
    assert torch.allclose(plain(x), other(x), atol=1e-6)
    assert torch.allclose(inputs[0].grad, inputs[1].grad, atol=1e-5)
    for (name, p), (same, q) in zip(plain.named_parameters(), other.named_parameters(), strict=True):
        assert name == same and p.grad.shape == q.grad.shape and torch.allclose(p.grad, q.grad, atol=1e-4)


def test_other_arithmetic_stays_with_the_linear_layer():
    layer = nn.Linear(8, 8)
    plain = copy.deepcopy(layer)
    convolve_linears(nn.Sequential(layer))
    x = torch.randn(3, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), plain(x))
    assert torch.equal(layer.bfloat16()(x.bfloat16()), plain.bfloat16()(x.bfloat16()))
