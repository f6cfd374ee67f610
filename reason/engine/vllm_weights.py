"""What a vLLM engine's own process does with new weights: `Receiver` joins vLLM's worker class there."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

NAME = f"{__name__}.Receiver"  # vLLM's `worker_extension_cls`


class Receiver:
    """Methods for `collective_rpc`; they run in every process that has a part of the model."""

    reload_weights: Callable[..., None]  # of the class that vLLM joins it with
    model_runner: Any

    def take_from_memory(self, path: str, dtype: str, shapes: Sequence[tuple[str, Sequence[int]]]) -> None:
        """Load weights that lie one behind the other in the file at `path`, by their names in the checkpoint."""
        sizes = [math.prod(shape) for _, shape in shapes]
        parts = torch.from_file(path, size=sum(sizes), dtype=getattr(torch, dtype)).split(sizes)
        weights = ((name, part.view(*shape)) for (name, shape), part in zip(shapes, parts, strict=True))
        self.reload_weights(weights_iterator=weights)
        pack_heads(self.model_runner.get_model())

    def take_from_folder(self, folder: str) -> None:
        """Load a folder's safetensors files."""
        self.reload_weights(weights_path=folder)
        pack_heads(self.model_runner.get_model())


def pack_heads(model: Any) -> None:
    """On a CPU, let output layers see their weight as it is now.

    vLLM packs what it loads. A head that is tied to the embedding is not loaded, so it would keep what was packed
    from the embedding's former weight.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        for module in model.modules():
            if isinstance(module, ParallelLMHead):
                module.quant_method.process_weights_after_loading(module)
