"""The policy in training: log-probabilities of its solutions, its reference, its copy for sampling, and its files."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from reason.common.errors import UserError
from reason.engine.loading import context_length, end_tokens
from reason.inference.base import Sampling
from reason.model_cards import card as cards
from reason.model_cards.card import LMCard, with_template
from train.core.adapters import refuse_tied_layers
from train.core.linear import convolve_linears
from train.core.logprobs import chosen_logprobs
from train.core.plan import Pass
from train.core.sharding import like, whole

TOLERANCE = 1e-2  # of log-probabilities by trunk and head against those of the whole model


@dataclass(frozen=True)
class LoraOptions:
    """Of an adapter (Hu et al., 2022). The base stays as it is; with `nf4` in 4 bits (QLoRA; Dettmers et al., 2023)."""

    r: int = 16
    alpha: int = 32
    modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    nf4: bool = False


def lora_of(args: Any) -> LoraOptions | None:
    """What a command's --lora_r, --lora_alpha, --lora_modules and, where it has it, --quantize ask for."""
    if not args.lora_r:
        return None
    modules = tuple(args.lora_modules) if args.lora_modules else LoraOptions.modules
    return LoraOptions(args.lora_r, args.lora_alpha, modules, getattr(args, "quantize", None) == "nf4")


@dataclass
class Policy:
    """A causal LM whose trainable weights are fp32. `model` is the PEFT model where there is an adapter."""

    model: Any
    tokenizer: Any
    card: LMCard
    sampling: Sampling  # how solutions are drawn, and so what their log-probabilities are of
    autocast: bool = False  # bf16 arithmetic
    reference: Any = None  # a frozen copy, where the model has no adapter to switch off
    saved_dtype: torch.dtype = torch.float32
    nf4: bool = False  # the base, under an adapter
    end_ids: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.end_ids = end_tokens(self.causal, self.tokenizer)
        if not self.end_ids:
            raise UserError(
                "the policy has no stop token: neither its generation config nor its tokenizer names an end-of-text "
                "token, so no solution would end; set eos_token in tokenizer_config.json"
            )
        for module in self.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0  # else the probability of a solution would not be that of its sampler

    @property
    def has_adapter(self) -> bool:
        """Whether it is a PEFT model."""
        return hasattr(self.model, "disable_adapter")

    @property
    def causal(self) -> Any:
        """The causal LM itself, the adapter's layers inside."""
        return self.model.get_base_model() if self.has_adapter else self.model

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.causal.device

    @property
    def vocabulary(self) -> int:
        """Number of logits."""
        return self.causal.get_output_embeddings().weight.shape[0]

    def logprobs(self, one: Pass) -> tuple[Tensor, Tensor]:
        """(log-probabilities, entropies) of the solutions' tokens, fp32 [tokens]."""
        return self._logprobs(self.causal, one)

    @torch.no_grad()
    def reference_logprobs(self, one: Pass) -> Tensor:
        """The same of the model that training started from, without a gradient."""
        if self.reference is not None:
            return self._logprobs(self.reference, one)[0]
        with self.model.disable_adapter():
            return self._logprobs(self.causal, one)[0]

    def _logprobs(self, causal: Any, one: Pass) -> tuple[Tensor, Tensor]:
        with self.arithmetic():
            hidden = causal.base_model(input_ids=one.input_ids, use_cache=False).last_hidden_state
            head = causal.get_output_embeddings()
            return chosen_logprobs(
                hidden[one.rows, one.positions], head, one.next_tokens, self.sampling, head.weight.shape[0]
            )

    def arithmetic(self) -> contextlib.AbstractContextManager:
        """bf16 where it is wanted."""
        if self.autocast:
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return contextlib.nullcontext()

    def trainable(self) -> list[nn.Parameter]:
        """What the optimizer moves."""
        return [p for p in self.model.parameters() if p.requires_grad]

    def weights(self) -> dict[str, Tensor]:
        """The trainable weights by name, for a checkpoint."""
        return {name: p.detach() for name, p in self.model.named_parameters() if p.requires_grad}

    @torch.no_grad()
    def restore(self, weights: dict[str, Tensor]) -> None:
        """Take the weights of a checkpoint. Raises UserError where they are of another model."""
        own = self.weights()
        if own.keys() != weights.keys() or any(own[n].shape != w.shape for n, w in weights.items()):
            raise UserError("the checkpoint is of another model than --model_name_or_path, or of another --lora_r")
        for name, weight in weights.items():
            own[name].copy_(like(weight, own[name]))

    def sampler(self, attention: str, own: bool = False) -> Any:
        """A model for sampling that shares this one's weights; with bf16 arithmetic a bf16 copy, unless of 4 bits.

        With `own` it has those that learn for itself, as they are now.
        """
        shared = {id(p): p for p in self.causal.parameters() if not (own and p.requires_grad)}
        model = copy.deepcopy(self.causal, memo=dict(shared))
        model.config._attn_implementation = attention
        if self.autocast and not self.nf4:
            model = copy.deepcopy(model).to(torch.bfloat16)
        return model.eval()

    @property
    def sampler_dtype(self) -> torch.dtype:
        """Of an engine that computes as this policy does."""
        return torch.bfloat16 if self.autocast else torch.float32

    @torch.no_grad()
    def plain_weights(self) -> Iterator[tuple[str, Tensor]]:
        """(name, weight in `sampler_dtype`) of the plain Hugging Face model, an adapter merged; tied weights once."""
        for name, weight in self.causal.named_parameters():
            if ".lora_" in name:
                continue
            module, _, kind = name.rpartition(".")
            weight = whole(self._unpacked(weight))
            if module.endswith(".base_layer"):
                module = module.removesuffix(".base_layer")
                if kind == "weight":
                    delta = self.causal.get_submodule(module).get_delta_weight("default")
                    weight = weight.float() + whole(delta).float()
            yield f"{module}.{kind}", weight.detach().to(self.sampler_dtype)

    def _unpacked(self, weight: Tensor) -> Tensor:
        """The numbers that a weight of 4 bits stands for; any other weight as it is."""
        if not self.nf4:
            return weight
        from bitsandbytes.functional import dequantize_4bit
        from bitsandbytes.nn import Params4bit

        return dequantize_4bit(weight.data, weight.quant_state) if isinstance(weight, Params4bit) else weight

    def save(self, folder: Path, writes: bool = True) -> None:
        """A plain Hugging Face model in its own dtype, an adapter merged, with its tokenizer and card.

        `writes`: whether this process does; where weights are sharded all must take part.
        """
        model = self._for_files(writes)
        if model is None:
            return
        if self.has_adapter:
            model = model.merge_and_unload()
        model.to(self.saved_dtype).save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        cards.save(self.card, folder)

    def _for_files(self, writes: bool) -> Any:
        """A copy of the model, None where nothing is written."""
        if not writes:
            return None
        return self._without_nf4() if self.nf4 else copy.deepcopy(self.model)

    def _without_nf4(self) -> Any:
        """A copy whose base has the numbers that the 4 bits stand for: the policy that was trained."""
        from bitsandbytes.nn import Linear4bit
        from peft import get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict

        base = type(self.causal).from_pretrained(self.causal.name_or_path, dtype=self.saved_dtype)
        plain = get_peft_model(base, copy.deepcopy(self.model.peft_config["default"]))
        set_peft_model_state_dict(plain, get_peft_model_state_dict(self.model))
        for name, module in self.model.named_modules():
            if isinstance(module, Linear4bit):
                plain.get_submodule(name).weight.data.copy_(self._unpacked(module.weight))
        return plain


def load(
    path: str,
    card_name: str | None,
    sampling: Sampling,
    device: str,
    dtype: str,
    lora: LoraOptions | None = None,
    reference: bool = False,
    gradient_checkpointing: bool = False,
    trust_remote_code: bool = False,
    card_flag: str = "--lm_card",
) -> Policy:
    """Load a policy for training. Raises UserError, UserError.

    dtype: "fp32", or "bf16" for bf16 arithmetic over fp32 weights (with an adapter the frozen base is bf16 too).
    `reference` keeps the model as it is now for the KL; with an adapter it costs nothing.
    """
    card = cards.find(path, "lm", card_name, card_flag)
    if not isinstance(card, LMCard):
        raise UserError(f"card {card.name!r} is a PRM's, but the policy needs one of kind lm")
    transformers.utils.logging.disable_progress_bar()  # the run has a bar of its own
    weights = torch.bfloat16 if dtype == "bf16" and lora else torch.float32
    nf4 = lora is not None and lora.nf4
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
        model: Any = AutoModelForCausalLM.from_pretrained(
            path, dtype=weights, attn_implementation="sdpa", trust_remote_code=trust_remote_code,
            quantization_config=_nf4(weights) if nf4 else None,
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise UserError(f"the policy {path} cannot be loaded: {' '.join(str(error).split())}") from None
    model.to(device)
    try:
        card = with_template(card, tokenizer)
        if not isinstance(card, LMCard):
            raise UserError(f"card {card.name!r} is of a judge, not of a policy")
        context_length(model.config.get_text_config())
    except UserError as error:
        raise UserError(f"the policy {path}: {error}") from None
    try:
        _check_head(model)
    except UserError as error:
        raise UserError(f"the policy {path}: {error}") from None
    frozen = copy.deepcopy(model).requires_grad_(False) if reference and lora is None else None
    if lora is not None:
        model = _with_adapter(model, lora)
    convolve_linears(model)
    model.eval()
    if gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.train()
    saved = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code).dtype  # as it is on disk
    return Policy(model, tokenizer, card, sampling, dtype == "bf16", frozen, saved or torch.float32, nf4)


@torch.no_grad()
def _check_head(model: Any) -> None:
    """Raises UserError where logits are not a linear head of the last hidden state (soft caps, scales)."""
    ids = torch.arange(8, device=model.device)[None] % model.config.get_text_config().vocab_size
    whole = model(input_ids=ids, use_cache=False).logits.float().log_softmax(-1)
    hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    apart = model.get_output_embeddings()(hidden).float().log_softmax(-1)
    if not (whole.isfinite().all() and apart.isfinite().all()):
        raise UserError("its logits are no finite numbers: are its weights damaged, or too large for their dtype?")
    if not torch.allclose(whole, apart, atol=TOLERANCE):
        raise UserError(f"{type(model).__name__} changes its logits behind the output layer, which is not supported")


def _nf4(dtype: torch.dtype) -> Any:
    """4-bit normal floats with quantised constants, computed with in `dtype`."""
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )


def _with_adapter(model: Any, lora: LoraOptions) -> Any:
    """The PEFT model, its adapter in fp32."""
    from peft import LoraConfig, get_peft_model

    present = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    modules: Sequence[str] = [name for name in lora.modules if name in present]
    if not modules:
        wanted = " ".join(lora.modules)
        raise UserError(f"--lora_modules {wanted}: the model has none of them; it has {' '.join(sorted(present))}")
    refuse_tied_layers(model, modules)
    config = LoraConfig(r=lora.r, lora_alpha=lora.alpha, target_modules=list(modules), task_type="CAUSAL_LM")
    return get_peft_model(model, config)
