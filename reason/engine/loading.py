"""Loading a language model for an engine: its folder, its context, its end tokens."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import transformers

from reason.common.errors import UserError

ATTENDING = {"full_attention", "sliding_attention"}  # kinds of layers that the engine's rows can serve


def context_length(config: transformers.PretrainedConfig) -> int:
    """Tokens that the model reads at most; within a sliding window, where it has one. Raises UserError."""
    kinds = set(getattr(config, "layer_types", None) or ["sliding_attention"])
    if not kinds <= ATTENDING:
        raise UserError(f"layers of kind {', '.join(sorted(kinds - ATTENDING))} need the vLLM worker")
    window = getattr(config, "sliding_window", None) if "sliding_attention" in kinds else None
    return min(config.max_position_embeddings, window or config.max_position_embeddings)


def end_tokens(model: transformers.PreTrainedModel, tokenizer: transformers.PreTrainedTokenizerBase) -> set[int]:
    """Ids that end a text: the generation config's and the tokenizer's."""
    ids = model.generation_config.eos_token_id
    ids = ids if isinstance(ids, list) else [ids]
    return {i for i in [*ids, tokenizer.eos_token_id] if i is not None}


def check_model_path(path: str) -> None:
    """Raises UserError unless `path` is a folder with a model or looks like the id of a hub."""
    if Path(path).is_dir():
        if not any((Path(path) / name).is_file() for name in ("config.json", "adapter_config.json")):
            raise UserError(f"no model in {path}: it has no config.json and no adapter_config.json")
    elif not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", path):
        raise UserError(f"no model at {path}: name its folder with --model-path")


@contextlib.contextmanager
def loading(path: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes one line that names the model: UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise UserError(f"the model {path} cannot be loaded: {type(error).__name__}: {reason}") from error
