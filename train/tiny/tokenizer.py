"""The tokenizer of the embedded models: byte-level BPE without merges, plus one token for each sign of the steps.

Byte-level so that any text has an encoding; signs with their spaces are single added tokens, which keeps a step of
`17 + 25 = 42; 42 * 3 - 8` at fifteen tokens and the round trip exact in transformers and in vLLM.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

EOS = "<|endoftext|>"
SPECIAL = [EOS, "<|im_start|>", "<|im_end|>", "<|step|>", "<|good|>", "<|bad|>", "<|check|>"]
SIGNS = [" + ", " - ", " * ", " = ", "; ", "Wait, ", "Yes", "No"]
CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ message['content'] + '\\n' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + '" + EOS + "' }}{% endif %}{% endfor %}"
)


def save_tokenizer(folder: Path) -> None:
    """Write the tokenizer's files into `folder` in the layout that AutoTokenizer reads for Qwen2."""
    from tokenizers import AddedToken
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    folder.mkdir(parents=True, exist_ok=True)
    vocab = {char: index for index, char in enumerate(sorted(ByteLevel.alphabet()))}
    settings: dict[str, Any] = {"unk_token": None, "eos_token": EOS, "pad_token": EOS, "chat_template": CHAT_TEMPLATE}
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=[], **settings)
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in SIGNS])
    tokenizer.save_pretrained(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["model_max_length"] = 1024
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n")
