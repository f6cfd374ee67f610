"""Small random models with the embedded tokenizer, their weights spread so that scores differ."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForTokenClassification

from reason.model_cards import card as cards
from reason.model_cards.card import PRMCard
from train.tiny.tokenizer import save_tokenizer
from train.tiny.train_policy import new_model

CARD = cards.find("openr-tiny-prm", "prm")
assert isinstance(CARD, PRMCard)


def tokenizer_in(folder: Path):
    """Write the embedded tokenizer into `folder` and load it."""
    save_tokenizer(folder)
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    return AutoTokenizer.from_pretrained(folder)


def save_prm(folder: Path, card: PRMCard | None = CARD, seed: int = 0, num_labels: int = 0) -> Path:
    """A random PRM in Hugging Face format with its card; with `num_labels` it is a token classifier."""
    tokenizer = tokenizer_in(folder)
    torch.manual_seed(seed)
    model: Any = new_model(len(tokenizer), tokenizer.eos_token_id, hidden=64, layers=2)
    if num_labels:
        options = model.config.to_dict() | {"num_labels": num_labels}
        model = Qwen2ForTokenClassification(Qwen2Config(**options))
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.normal_(0, 0.2)
    model.save_pretrained(folder)
    if card is not None:
        write_card(folder, card)
    return folder


def write_card(folder: Path, card: PRMCard) -> None:
    """Give a model's folder its card."""
    data = cards.to_dict(card)
    if data["self_test"]:
        data["self_test"] = {key: list(v) if isinstance(v, tuple) else v for key, v in data["self_test"].items()}
    data = {key: list(value) if isinstance(value, tuple) else value for key, value in data.items()}
    if data["self_test"] is None:
        del data["self_test"]
    (folder / "model_card.yaml").write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")


def changed(**fields) -> PRMCard:
    """The embedded PRM's card with other fields."""
    return dataclasses.replace(CARD, **fields)


def some_inputs(count: int, seed: int = 0) -> list[tuple[str, list[str]]]:
    """Pairs of a question and one to six steps of many lengths; the same for the same seed."""
    rng = random.Random(seed)

    def step() -> str:
        return f"{rng.randrange(99)} + {rng.randrange(99)} = {rng.randrange(999)}" + "; 7" * rng.randrange(20)

    return [(f"{rng.randrange(99)} * 3", [step() for _ in range(rng.randrange(1, 7))]) for _ in range(count)]
