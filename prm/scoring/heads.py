"""Heads of PRMs: from the hidden states where scores are read to scores.

A head takes hidden states [n, hidden] (after the model's last norm) and returns scores [n] in fp32. Weights are
read at each call, so a head follows a model that is being trained; what trainers need is its margins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForTokenClassification

from prm.scoring.checkpoint import tensors
from prm.scoring.layout import Layouter
from reason.common.errors import UserError
from reason.model_cards.card import PRMCard


@dataclass(frozen=True)
class Head:
    """Margins, and how they become scores."""

    margin: Callable[[Tensor], Tensor]  # hidden states [n, hidden] -> [n] in fp32
    sigmoid: bool = True  # whether a score is the margin's sigmoid, in [0, 1], or the margin itself

    def __call__(self, hidden: Tensor) -> Tensor:
        """Scores [n] in fp32."""
        return self.margin(hidden).sigmoid() if self.sigmoid else self.margin(hidden)


def token_logits(model: Any, card: PRMCard, layouter: Layouter) -> Head:
    """P(good): softmax over the logits of the card's good and bad tokens (Wang et al., 2024). In [0, 1].

    Only these two rows of the LM head are applied, not the whole vocabulary.
    """
    ids = torch.tensor([layouter.single_token("good", card.good), layouter.single_token("bad", card.bad)])

    def margin(hidden: Tensor) -> Tensor:
        output = model.get_output_embeddings()
        rows = ids.to(output.weight.device)
        bias = None if output.bias is None else output.bias[rows].float()
        logits = torch.nn.functional.linear(hidden.float(), output.weight[rows].float(), bias)
        return logits[:, 0] - logits[:, 1]

    return Head(margin)


def two_class(model: Any, card: PRMCard, layouter: Layouter) -> Head:
    """Probability of class `good_label` of a token classifier with two or more classes. In [0, 1]."""
    classes = outputs(model)
    if not 0 <= card.good_label < classes or classes < 2:
        raise UserError(
            f"card {card.name!r}: good_label {card.good_label} is not a class of a model with {classes} of them"
        )
    others = [label for label in range(classes) if label != card.good_label]

    def margin(hidden: Tensor) -> Tensor:
        logits = classified(model, hidden)
        return logits[:, card.good_label] - logits[:, others].logsumexp(-1)

    return Head(margin)


def value(model: Any, card: PRMCard, layouter: Layouter) -> Head:
    """A token classifier with one output: its sigmoid in [0, 1], or the raw number by the card's `sigmoid`.

    Where `meaning` is log_ratio it is the raw number too.
    """
    if outputs(model) != 1:
        raise UserError(f"card {card.name!r}: head value needs a model with one label, not {outputs(model)}")
    return Head(lambda hidden: classified(model, hidden)[:, 0], card.sigmoid and card.meaning != "log_ratio")


def implicit(model: Any, card: PRMCard, layouter: Layouter) -> None:
    """No head: an implicit PRM's scores are log-ratios of two models; see prm/scoring/implicit.py."""
    if not card.question_apart or card.step_tag or card.outcome or card.answer:
        raise UserError(
            f"card {card.name!r}: head implicit sums over the tokens of a step, so its layout needs question_apart, "
            "and neither step_tag nor outcome nor answer"
        )


# Kind of head -> (the class that loads its model, what builds it).
HEADS: dict[str, tuple[Any, Callable[[Any, PRMCard, Layouter], Head | None]]] = {
    "token_logits": (AutoModelForCausalLM, token_logits),
    "two_class": (AutoModelForTokenClassification, two_class),
    "value": (AutoModelForTokenClassification, value),
    "implicit": (AutoModelForCausalLM, implicit),
}


def kind(card: PRMCard) -> tuple[Any, Callable[[Any, PRMCard, Layouter], Head | None]]:
    """The entry of HEADS that is the card's. Raises UserError."""
    if card.head not in HEADS:
        raise UserError(f"card {card.name!r}: head must be one of {', '.join(HEADS)}, not {card.head!r}")
    return HEADS[card.head]


def load(folder: str, card: PRMCard, **options: Any) -> Any:
    """A model folder (or hub id) with what the card's head needs. Raises UserError, OSError.

    With `head_weights` the model is the bare network, and its `score` the layers that the checkpoint keeps under
    those names: that is how Qwen2.5-Math-PRM and Skywork-o1-PRM are stored, and it takes none of their own code.
    """
    loader, _ = kind(card)
    if not card.head_weights:
        return loader.from_pretrained(folder, **options)
    if loader is not AutoModelForTokenClassification:
        raise UserError(f"card {card.name!r}: head_weights are for heads two_class and value, not {card.head}")
    model = AutoModel.from_pretrained(folder, **options)
    model.score = layers(folder, card).to(model.dtype)
    return model


def layers(folder: str, card: PRMCard) -> nn.Sequential:
    """The card's head as the checkpoint has it: linear layers with ReLU between two of them, in fp32."""
    names = [f"{name}.{part}" for name in card.head_weights for part in ("weight", "bias")]
    try:
        found = tensors(folder, {*names, *card.head_affine}, card.head_file)
    except UserError as error:
        raise UserError(f"card {card.name!r}: {error}") from None
    missing = [name for name in [*names[::2], *card.head_affine] if name not in found]
    if missing:
        raise UserError(f"card {card.name!r}: the checkpoint {folder} holds no {', '.join(missing)}")
    built: list[nn.Module] = []
    for name in card.head_weights:
        weight = found[f"{name}.weight"].float()
        bias = found.get(f"{name}.bias", torch.zeros(len(weight))).float()
        if not built and card.head_affine:  # W (gain h + shift) + b
            gain, shift = (found[number].float().reshape(()) for number in card.head_affine)
            weight, bias = gain * weight, bias + shift * weight.sum(1)
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight.data, layer.bias.data = weight, bias
        built += [nn.ReLU(), layer] if built else [layer]
    return nn.Sequential(*built)


def classified(model: Any, hidden: Tensor) -> Tensor:
    """What `score` makes of hidden states [n, hidden]: [n, classes], computed in its own precision, in fp32."""
    return model.score(hidden.to(next(model.score.parameters()).dtype)).float()


def outputs(model: Any) -> int:
    """How many numbers the model's `score` gives for a token."""
    return [module for module in model.score.modules() if isinstance(module, nn.Linear)][-1].out_features
