"""Matrix products of a float32 model on a CPU by oneDNN, its weights packed for it once.

torch's own product of float32 goes to MKL, which is half as fast on some processors, and whose sums may depend on the
number of rows.
"""

from __future__ import annotations

import torch
from torch import nn


class PackedLinear(nn.Module):
    """What an `nn.Linear` computes, for inference alone."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.shape = linear.weight.shape
        self.pack(linear.weight.detach())
        self.bias = linear.bias

    def pack(self, weight: torch.Tensor) -> None:
        """Take a weight [outputs, inputs]."""
        self.weight = torch.ops.mkldnn._reorder_linear_weight(weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[..., inputs] to [..., outputs]."""
        return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


def pack_linears(model: nn.Module) -> None:
    """Replace, in place, the float32 linear layers of a model on a CPU; without oneDNN they stay."""
    if not torch.backends.mkldnn.is_available():
        return
    for module in list(model.modules()):
        for name, child in module.named_children():
            if (
                isinstance(child, nn.Linear)
                and child.weight.dtype == torch.float32
                and child.weight.device.type == "cpu"
            ):
                setattr(module, name, PackedLinear(child))
