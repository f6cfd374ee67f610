"""New weights for a transformers model that is served, from safetensors files and in place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from reason.engine.packed_linear import PackedLinear
from reason.engine.request import EngineError


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """Name -> weight of all files in a folder. Raises EngineError."""
    try:
        return {name: weight for file in folder.glob("*.safetensors") for name, weight in load_file(file).items()}
    except (OSError, SafetensorError) as error:
        raise _refused(f"the weights in {folder} cannot be read: {error}") from None


@torch.no_grad()
def load_weights(model: Any, weights: Mapping[str, torch.Tensor]) -> None:
    """Copy the weights into the model, whose linear layers may be packed. Raises EngineError and has changed nothing
    where they are not all of its weights; one that is tied to the embedding may be left out.
    """
    packed = {f"{name}.weight": one for name, one in model.named_modules() if isinstance(one, PackedLinear)}
    plain = dict(model.named_parameters())
    given, head = dict(weights), _name_of(model, model.get_output_embeddings())
    if model.config.get_text_config().tie_word_embeddings:
        embeddings = _name_of(model, model.get_input_embeddings())
        if embeddings in given:
            given[head] = given[embeddings]
        if head not in packed:  # it is the embedding
            given.pop(head, None)
    own = {name: weight.shape for name, weight in plain.items()} | {name: one.shape for name, one in packed.items()}
    differing = own.keys() ^ given.keys() or {n for n, shape in own.items() if given[n].shape != shape}
    if differing:
        raise _refused(f"the weights are of another model: {len(differing)} differ in name or shape, such as "
                       f"{min(differing)}")  # fmt: skip
    for name, weight in given.items():
        if name in packed:
            packed[name].pack(weight.float())
        else:
            plain[name].copy_(weight)


def _name_of(model: Any, module: torch.nn.Module) -> str:
    return next(f"{name}.weight" for name, one in model.named_modules() if one is module)


def _refused(message: str) -> EngineError:
    return EngineError("BadWeights", message)
