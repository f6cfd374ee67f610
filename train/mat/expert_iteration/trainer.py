"""Next tokens of solutions, learnt by the trainer of prm/training: -log pi(token | question, tokens before)."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainingArguments

from prm.benchmarks.cases import Skips
from prm.generative.verdicts import VerdictRow
from prm.training import plan as plans
from prm.training.examples import Example
from prm.training.plan import Plan
from prm.training.trainer import PrmTrainer, Task
from reason.common.errors import UserError
from reason.engine.loading import context_length
from reason.engine.request import encode_prompt
from reason.inference.prompting import render
from train.mat.agents.policy import Policy
from train.mat.buffers.batches import Pass

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


class NextTokens(nn.Module):
    """Log-probabilities of the tokens that follow the positions, as one module for several processes."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.model, self.config, self._logprobs = policy.model, policy.causal.config, policy.logprobs

    def forward(self, input_ids: Tensor, rows: Tensor, positions: Tensor) -> Tensor:
        """fp32 [tokens]; `input_ids` is [rows, length]."""
        targets = input_ids[rows, positions + 1]
        return self._logprobs(Pass([], input_ids, rows, positions, targets, positions))[0]


@dataclass
class Student:
    """What the trainer knows of its model."""

    margins: NextTokens


class SolutionTrainer(PrmTrainer):
    """Trains a policy; its finished folder is a plain Hugging Face model with the policy's card."""

    def __init__(self, policy: Policy, plan: Plan, args: TrainingArguments, **options: Any) -> None:
        self.policy = policy
        super().__init__(Student(NextTokens(policy)), Task(plan, "next tokens"), args, **options)

    def losses(self, margins: Tensor, one: plans.Pass) -> Tensor:
        """[tokens]; the margins are log-probabilities here."""
        return -margins

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: weight.contiguous() for name, weight in self.policy.weights().items()}, folder / WEIGHTS)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.policy.restore(load_file(Path(resume_from_checkpoint) / WEIGHTS))

    def finish(self, folder: Path, merge: bool, dtype: str | None = None) -> None:
        """Save the policy, an adapter merged, in the dtype that it had on disk."""
        self.policy.save(folder)
