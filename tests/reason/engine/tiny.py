"""A tiny random policy in Hugging Face format, with its card."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoTokenizer

from train.tiny.tokenizer import save_tokenizer
from train.tiny.train_policy import new_model, save


def save_policy(folder: Path) -> Path:
    """Write the model. Its weights are large enough for texts that repeat little and end now and then."""
    save_tokenizer(folder)
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(1)
    model: Any = new_model(len(tokenizer), tokenizer.eos_token_id, 64, 2)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(4)
        for sign in "0123456789":
            model.get_input_embeddings().weight[tokenizer.encode(sign)[0]] *= 2
    save(model, tokenizer, folder)
    (folder / "model_card.yaml").write_text('name: tiny\nprompt: "{question}\\n"\nstep_separator: "\\n"\n')
    return folder


def bounds(tokenizer: Any, context: int, vocabulary: int) -> SimpleNamespace:
    """What a request is checked against: an engine of that context and vocabulary."""
    return SimpleNamespace(tokenizer=tokenizer, context=context, vocabulary=vocabulary)
