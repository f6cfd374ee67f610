"""Matrix products of a float32 model on a CPU by oneDNN, its weights packed for it once.

torch's own product of float32 goes to MKL, which is half as fast on some processors, and whose sums may depend on the
number of rows.

The operators are private to torch: this module alone calls them. Tested with torch 2.13. Where a version lacks them, or
they compute something else, linear layers stay as they are.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn


def pack(weight: Tensor) -> Tensor:
    """A weight [outputs, inputs] as oneDNN wants it; its numbers cannot be read any more."""
    return torch.ops.mkldnn._reorder_linear_weight(weight)


def product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    """[..., inputs] to [..., outputs] by a packed weight."""
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


@cache
def can_pack() -> bool:
    """Whether this torch has the operators, and they are right about a small product."""
    if not torch.backends.mkldnn.is_available():
        return False
    weight, bias, x = torch.arange(12.0).reshape(3, 4), torch.arange(3.0), torch.arange(8.0).reshape(2, 4)
    try:
        told = product(x, pack(weight), bias)
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
    return torch.allclose(told, nn.functional.linear(x, weight, bias))


class PackedLinear(nn.Module):
    """What an `nn.Linear` computes, for inference alone."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.shape = linear.weight.shape
        self.pack(linear.weight.detach())
        self.bias = linear.bias

    def pack(self, weight: Tensor) -> None:
        """Take a weight [outputs, inputs]."""
        self.weight = pack(weight)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs]."""
        return product(x, self.weight, self.bias)


def pack_linears(model: nn.Module) -> None:
    """Replace, in place, the float32 linear layers of a model on a CPU, where that can be done."""
    if not can_pack():
        return
    for module in list(model.modules()):
        for name, child in module.named_children():
            if (
                isinstance(child, nn.Linear)
                and child.weight.dtype == torch.float32
                and child.weight.device.type == "cpu"
            ):
                setattr(module, name, PackedLinear(child))
