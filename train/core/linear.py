"""Matrix products of a float32 training on a CPU by oneDNN, forwards and backwards.

torch gives float32 products to MKL, which is half as fast as oneDNN on some processors. A convolution with a 1 x 1
kernel over an image in channels-last order is the same product over the same memory, and torch gives it to oneDNN,
its two gradients too.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvolvedLinear(nn.Linear):
    """An `nn.Linear` with the same parameters, computed as a 1 x 1 convolution where that is faster."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., inputs] to [..., outputs]."""
        if input.dtype != torch.float32 or input.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        *shape, width = input.shape
        image = input.reshape(1, -1, 1, width).permute(0, 3, 1, 2)  # [1, inputs, tokens, 1]
        found = nn.functional.conv2d(image, self.weight[:, :, None, None], self.bias)
        return found.permute(0, 2, 3, 1).reshape(*shape, self.out_features)


def convolve_linears(model: nn.Module) -> None:
    """Change the linear layers of a model on a CPU in place; parameters and their names stay."""
    if not torch.backends.mkldnn.is_available():
        return
    for module in model.modules():
        if type(module) is nn.Linear:
            module.__class__ = ConvolvedLinear
