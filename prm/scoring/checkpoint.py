"""Single tensors of a checkpoint by their names, without its model's code: safetensors or PyTorch, sharded or not."""

from __future__ import annotations

import json
from collections.abc import Set
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor
from transformers.utils import cached_file

from reason.common.errors import UserError

MODEL_FILES = ("model.safetensors", "pytorch_model.bin")


def tensors(folder: str, names: Set[str], file: str = "") -> dict[str, Tensor]:
    """Those of `names` that the checkpoint in `folder` (or of a hub id) holds; `file` instead of the model's own.

    Files that hold Python objects other than tensors are refused, not run. Raises UserError, OSError.
    """
    for name in (file,) if file else MODEL_FILES:
        if (index := _file(folder, f"{name}.index.json")) is not None:
            shards = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"]
            paths = [_file(folder, shard) for shard in sorted({shards[n] for n in names if n in shards})]
        else:
            paths = [_file(folder, name)]
        if paths != [None]:
            return {name: found for path in paths for name, found in _read(str(path), names).items()}
    raise UserError(f"{folder} has none of the files {file or ', '.join(MODEL_FILES)}")


def _read(path: str, names: Set[str]) -> dict[str, Tensor]:
    if path.endswith(".safetensors"):
        with safe_open(path, framework="pt") as stored:
            return {name: stored.get_tensor(name) for name in stored.keys() if name in names}
    stored = torch.load(path, map_location="cpu", weights_only=True)
    return {name: tensor for name, tensor in stored.items() if name in names}


def _file(folder: str, name: str) -> str | None:
    return cached_file(
        folder, name, _raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False
    )
