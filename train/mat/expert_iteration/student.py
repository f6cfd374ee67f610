"""Solutions as examples of next tokens, and the policy that learns them by train/core/fit.py."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from prm.benchmarks.cases import Skips
from prm.generative.verdicts import VerdictRow
from reason.common.errors import UserError
from reason.engine.loading import context_length
from reason.engine.request import encode_prompt
from reason.inference.prompting import render
from train.core.next_tokens import NextTokens
from train.core.plan import Example, LabelledPass
from train.core.processes import Processes
from train.core.sharding import Shards
from train.mat.agents.policy import Policy

WEIGHTS = "trained.safetensors"  # of a checkpoint: what is trained, in fp32


def encode_all(found: Sequence[tuple[str, VerdictRow]], policy: Policy, skips: Skips) -> list[Example]:
    """The examples of all rows; one that cannot be learnt is a bad row. Raises UserError."""
    examples = []
    for where, row in found:
        try:
            examples.append(encode(row["prompt"], row["completion"], policy))
        except (UserError, ValueError) as error:
            skips.add(where, error)
    if not examples:
        raise UserError(f"nothing to learn; {skips.messages[-1]}")
    return examples


def encode(prompt: str, completion: str, policy: Policy) -> Example:
    """Prompt, solution and end of text; the solution's tokens and the end are learnt.

    The prompt becomes the tokens that the LM worker makes of it, and the solution those that go on from there: a
    tokenizer may give a text's first word another token than the same word in the middle. Raises UserError, ValueError.
    """
    tokenizer, text = policy.tokenizer, render(policy.card, prompt)
    before, whole = encode_prompt(tokenizer, text), encode_prompt(tokenizer, text + completion)
    if not completion.strip():
        raise UserError("the completion is empty")
    if whole[: len(before)] == before and len(whole) > len(before):
        after = whole[len(before) :]
    else:
        after = tokenizer.encode(completion, add_special_tokens=False)
    end = tokenizer.eos_token_id if tokenizer.eos_token_id in policy.end_ids else min(policy.end_ids)
    ids = [*before, *after] if after[-1] == end else [*before, *after, end]
    context = context_length(policy.causal.config.get_text_config())
    if len(ids) > context:
        raise UserError(f"{len(ids)} tokens are more than the {context} of the policy's context")
    learnt = range(len(before) - 1, len(ids) - 1)
    return Example(array("i", ids), tuple(learnt), (1.0,) * len(learnt), (1.0,) * len(learnt))


@dataclass
class SolutionStudent:
    """A policy in fine-tuning, see `train.core.fit.Student`; its finished folder is a plain Hugging Face model with the
    policy's card."""

    policy: Policy
    module: NextTokens = field(init=False)

    def __post_init__(self) -> None:
        self.module = NextTokens(self.policy.model)

    def losses(self, part: LabelledPass) -> Tensor:
        """See `Student`."""
        with self.policy.arithmetic():
            return -self.module(part)

    def shard(self, shards: Shards) -> None:
        """See `Student`. The command has no option for it."""
        raise NotImplementedError

    def test(self, processes: Processes) -> dict[str, float]:
        """See `Student`. There is no test data."""
        return {}

    def save(self, folder: Path, weights: dict[str, Tensor] | None = None) -> None:
        """See `Student`: what is trained, in fp32."""
        trained = {name: weight.contiguous() for name, weight in self.policy.weights().items()}
        save_file(trained, folder / WEIGHTS)

    def restore(self, folder: Path) -> None:
        """See `Student`."""
        self.policy.restore(load_file(folder / WEIGHTS))

    def finish(self, folder: Path) -> None:
        """See `Student`. An adapter is merged; the dtype is the one that the policy had on disk."""
        self.policy.save(folder)
