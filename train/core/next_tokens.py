"""The next tokens of texts, which judges and policies are fine-tuned on: -log pi(token | tokens before)."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from reason.inference.base import Sampling
from train.core.logprobs import chosen_logprobs
from train.core.plan import Pass


def bare(model: Any) -> Any:
    """The Hugging Face model, with the layers of an adapter in it but without PEFT's wrapper."""
    from peft import PeftModel

    return model.get_base_model() if isinstance(model, PeftModel) else model


class NextTokens(nn.Module):
    """Log-probabilities of the tokens behind the places of a pass, in one call of a module, as shards need."""

    def __init__(self, model: Any) -> None:
        """`model`: a causal LM, or the PeftModel around it."""
        super().__init__()
        self.model = model

    @property
    def bare(self) -> Any:
        """The causal LM without PEFT's wrapper."""
        return bare(self.model)

    def forward(self, part: Pass) -> Tensor:
        """fp32 [places]."""
        causal = self.bare
        hidden = causal.base_model(input_ids=part.input_ids, use_cache=False).last_hidden_state
        head = causal.get_output_embeddings()
        return chosen_logprobs(
            hidden[part.rows, part.positions], head, part.next_tokens, Sampling(), head.weight.shape[0]
        )[0]
