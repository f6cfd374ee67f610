"""Small random policies of three families, with the embedded tokenizer and card."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, MistralConfig, Qwen2Config

from train.tiny.tokenizer import save_tokenizer

CONFIGS = {"qwen2": Qwen2Config, "llama": LlamaConfig, "mistral": MistralConfig}


def save_family(folder: Path, family: str, layers: int = 2, seed: int = 0, size: int = 32) -> Path:
    """A model whose weights are large enough for texts that vary, and that end now and then."""
    save_tokenizer(folder)
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = CONFIGS[family](
        vocab_size=288, hidden_size=size, intermediate_size=64, num_hidden_layers=layers, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=256, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
        pad_token_id=tokenizer.pad_token_id, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.15)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "model_card.yaml").write_text(f'name: {family}\nprompt: "{{question}}\\n"\nstep_separator: "\\n"\n')
    return folder
