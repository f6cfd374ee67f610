"""The model that is trained: a base with the head of a card, whole or by a LoRA adapter; loaded, resumed and saved."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoModelForTokenClassification, AutoTokenizer

from prm.scoring import heads
from prm.scoring.checkpoint import tensors
from prm.scoring.layout import Layouter
from prm.training.arguments import Adapter
from reason.common.errors import UserError
from reason.model_cards import card as cards
from reason.model_cards.card import PRMCard
from train.core.adapters import refuse_tied_layers
from train.core.linear import convolve_linears
from train.core.next_tokens import bare
from train.core.plan import Pass

ADAPTER = "adapter_config.json"


class Margins(nn.Module):
    """A model with its head as one module, so that wrappers for several processes see one forward call."""

    def __init__(self, model: Any, head: heads.Head) -> None:
        super().__init__()
        self.model, self._head = model, head

    @property
    def bare(self) -> Any:
        """The Hugging Face model, with the layers of an adapter in it but without its wrapper."""
        return bare(self.model)

    def forward(self, part: Pass) -> Tensor:
        """Margins [places], in fp32, where the scores of steps stand."""
        hidden = self.bare.base_model(input_ids=part.input_ids, use_cache=False).last_hidden_state
        with torch.autocast(hidden.device.type, enabled=False):
            return self._head.margin(hidden[part.rows, part.positions])


@dataclass
class Trainee:
    """A model in training, with all that goes into its folder."""

    margins: Margins
    tokenizer: Any
    card: PRMCard
    layouter: Layouter
    head: heads.Head

    @property
    def model(self) -> Any:
        """The Hugging Face model or the PeftModel around it."""
        return self.margins.model


def load(
    model_path: str,
    card: PRMCard,
    *,
    base_model: str | None = None,
    lora: Adapter | None = None,
    dtype: torch.dtype = torch.float32,
    attention: str = "sdpa",
    gradient_checkpointing: bool = False,
    trust_remote_code: bool = False,
) -> Trainee:
    """A base, or an adapter over its base (`base_model`, or the card's), ready to be trained.

    With `lora`, a base gets a new adapter; an adapter is trained on in any case. A token classifier's head that the
    base does not have starts at random, and the returned card says where it will be. Raises UserError.
    """
    adapter = (Path(model_path) / ADAPTER).is_file()
    base = (base_model or card.base_model) if adapter else model_path
    if not base:
        raise UserError(f"{model_path} is an adapter: name the model that it belongs to with --base_model")
    if not adapter and base_model:
        raise UserError(f"--base_model is for adapters, and {model_path} is none")
    options = {"dtype": dtype, "attn_implementation": attention, "trust_remote_code": trust_remote_code}
    tokenizer = _tokenizer(model_path if (Path(model_path) / "tokenizer_config.json").is_file() else base, options)
    model, card = _base(base, card, options)
    if adapter:
        model = _adapted(model, model_path)
    elif lora is not None:
        model = _with_lora(model, card, lora)
    card = replace(card, base_model=str(base) if is_adapter(model) else "", models=())
    inner = bare(model)
    convolve_linears(model)
    layouter = Layouter(card, tokenizer, inner.config.max_position_embeddings)
    head = heads.kind(card)[1](inner, card, layouter)
    assert head is not None  # `_base` lets no other kind through
    if gradient_checkpointing:
        inner.gradient_checkpointing_enable({"use_reentrant": False})
    return Trainee(Margins(model, head), tokenizer, card, layouter, head)


def is_adapter(model: Any) -> bool:
    """Whether only an adapter is trained."""
    return bare(model) is not model


def save(trainee: Trainee, folder: Path, state: dict[str, Tensor] | None = None, merge: bool = False) -> None:
    """Write weights, tokenizer and card, so that the reward worker can serve `folder` as it is.

    `state` are the weights of `Margins` where they were gathered from several processes. An adapter is saved as such,
    or with `merge` as the whole model.
    """
    model = trainee.model
    state = {name.removeprefix("model."): tensor for name, tensor in state.items()} if state is not None else None
    card = trainee.card
    if merge and is_adapter(model):
        model, card, state = model.merge_and_unload(), replace(card, base_model=""), None
    model.save_pretrained(folder, state_dict=state)
    trainee.tokenizer.save_pretrained(folder)
    cards.save(card, folder)


def restore(trainee: Trainee, folder: Path) -> None:
    """Load the weights that `save` wrote into the model as it is. Raises UserError."""
    model = trainee.model
    if is_adapter(model):
        from peft import set_peft_model_state_dict

        set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))
        return
    saved = heads.load(str(folder), trainee.card, dtype=model.dtype)
    model.load_state_dict(saved.state_dict())


def _tokenizer(folder: str, options: dict[str, Any]) -> Any:
    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=options["trust_remote_code"])
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: its tokenizer cannot be loaded: {_first_line(error)}") from None


def _base(folder: str, card: PRMCard, options: dict[str, Any]) -> tuple[Any, PRMCard]:
    """The model with the card's head, new where the checkpoint has none, and the card of what is trained."""
    if card.head not in ("token_logits", "two_class", "value"):
        raise UserError(f"card {card.name!r}: models of head {card.head} are not trained here")
    heads.kind(card)
    try:
        if card.head == "token_logits":
            loaded: Any = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, **options)
            model, info = loaded
            if info["missing_keys"]:
                raise UserError(f"{folder} is no causal LM: it holds no {min(info['missing_keys'])}")
            return model, card
        if card.head_weights and _has_head(folder, card):
            model = heads.load(folder, card, **options)
            linear = [i for i, layer in enumerate(model.score) if isinstance(layer, nn.Linear)]
            names = tuple(f"score.{i}" for i in linear)
            return model, replace(card, head_weights=names, head_affine=(), head_file="")
        labels = 1 if card.head == "value" else max(2, card.good_label + 1)
        model = AutoModelForTokenClassification.from_pretrained(folder, num_labels=labels, **options)
        return model, replace(card, head_weights=(), head_affine=(), head_file="")
    except (OSError, ValueError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{folder} cannot be loaded: {_first_line(error)}") from None


def _has_head(folder: str, card: PRMCard) -> bool:
    """Whether the checkpoint holds the layers that the card names; a plain LM, to be made a PRM, does not."""
    try:
        return bool(tensors(folder, {f"{name}.weight" for name in card.head_weights}, card.head_file))
    except UserError:
        return False


def _with_lora(model: Any, card: PRMCard, lora: Adapter) -> Any:
    from peft import LoraConfig, get_peft_model

    refuse_tied_layers(model, lora.lora_modules)
    causal = card.head == "token_logits"
    if not causal:
        model.score.float()  # it is trained whole, and bf16 would round its updates away
    config = LoraConfig(
        r=lora.lora_r, lora_alpha=lora.lora_alpha, lora_dropout=lora.lora_dropout,
        target_modules=list(lora.lora_modules),
        task_type="CAUSAL_LM" if causal else None, modules_to_save=None if causal else ["score"],
    )  # fmt: skip
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise UserError(f"--lora_modules {' '.join(lora.lora_modules)}: {_first_line(error)}") from None


def _adapted(model: Any, folder: str) -> Any:
    """The base with the adapter in `folder`, to be trained on. Raises UserError where the two do not match."""
    from peft import PeftModel

    name = model.config.name_or_path
    try:
        adapted = PeftModel.from_pretrained(model, folder, is_trainable=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise UserError(f"the adapter {folder} does not fit the base model {name}: {_first_line(error)}") from None
    stored = Path(folder) / "adapter_model.safetensors"
    if stored.is_file():
        from peft import get_peft_model_state_dict

        own, theirs = set(get_peft_model_state_dict(adapted)), set(load_file(stored))
        if own != theirs:
            raise UserError(
                f"the adapter {folder} does not fit the base model {name}: only one of them has {min(own ^ theirs)}"
            )
    return adapted


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines else type(error).__name__
