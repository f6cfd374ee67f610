"""What an adapter may stand on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reason.common.errors import UserError


def refuse_tied_layers(model: Any, modules: Iterable[str]) -> None:
    """Raises UserError where an adapter would stand on a layer whose weights are another layer's too.

    Input embeddings and output layer of a tied model are one matrix. Merged into it, an adapter of one of them would
    change the other, so the saved model would not be the trained one.
    """
    output = model.get_output_embeddings()
    tied = getattr(model.config, "tie_word_embeddings", False)
    if output is None or not tied or output.weight is not model.get_input_embeddings().weight:
        return
    shared = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if getattr(module, "weight", None) is output.weight
    }
    if found := sorted(shared & set(modules)):
        raise UserError(
            f"--lora_modules {' '.join(found)}: this model's {' and '.join(sorted(shared))} are one matrix, so an "
            "adapter of one could not be merged without changing the other: leave it out, or train all weights"
        )
