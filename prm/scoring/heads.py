"""Heads of PRMs: from the hidden states at the step tags to scores.

A head takes hidden states [n, hidden] (after the model's last norm) and returns scores [n] in fp32. Weights are
read at each call, so a head follows a model that is being trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification

from prm.scoring.layout import Layouter
from reason.model_cards.card import CardError, PRMCard

Head = Callable[[Tensor], Tensor]


def token_logits(model: Any, card: PRMCard, layouter: Layouter) -> Head:
    """P(good): softmax over the logits of the card's good and bad tokens (Wang et al., 2024). In [0, 1].

    Only these two rows of the LM head are applied, not the whole vocabulary.
    """
    ids = torch.tensor([layouter.single_token("good", card.good), layouter.single_token("bad", card.bad)])

    def head(hidden: Tensor) -> Tensor:
        output = model.get_output_embeddings()
        rows = ids.to(output.weight.device)
        bias = None if output.bias is None else output.bias[rows].float()
        logits = torch.nn.functional.linear(hidden.float(), output.weight[rows].float(), bias)
        return logits.softmax(-1)[:, 0]

    return head


def two_class(model: Any, card: PRMCard, layouter: Layouter) -> Head:
    """Probability of class `good_label` of a token classifier with two or more classes. In [0, 1]."""
    if not 0 <= card.good_label < model.config.num_labels or model.config.num_labels < 2:
        raise CardError(
            f"card {card.name!r}: good_label {card.good_label} is not a class of a model with "
            f"{model.config.num_labels} of them"
        )
    return lambda hidden: model.score(hidden).float().softmax(-1)[:, card.good_label]


def value(model: Any, card: PRMCard, layouter: Layouter) -> Head:
    """A token classifier with one output: its sigmoid in [0, 1], or the raw number where `meaning` is log_ratio."""
    if model.config.num_labels != 1:
        raise CardError(f"card {card.name!r}: head value needs a model with one label, not {model.config.num_labels}")
    if card.meaning == "log_ratio":
        return lambda hidden: model.score(hidden).float()[:, 0]
    return lambda hidden: model.score(hidden).float().sigmoid()[:, 0]


# Kind of head -> (the class that loads its model, what builds it).
HEADS: dict[str, tuple[Any, Callable[[Any, PRMCard, Layouter], Head]]] = {
    "token_logits": (AutoModelForCausalLM, token_logits),
    "two_class": (AutoModelForTokenClassification, two_class),
    "value": (AutoModelForTokenClassification, value),
}
