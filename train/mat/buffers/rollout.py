"""One sampled solution as the trainers see it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from envs.base_env import Problem
from train.mat.buffers.steps import Step


@dataclass(frozen=True, eq=False)
class Rollout:
    """A solution with its tokens and steps. On the way to an update it is replaced by one that knows more: step scores,
    rewards, then what policy and critic say of it, then its advantages.

    Tensors are on the CPU, fp32, with one element a token unless said otherwise.
    """

    problem: Problem
    group: int  # solutions of one draw of a question have the same
    prompt_ids: list[int]
    token_ids: list[int]  # the end-of-text token included
    steps: list[Step]
    terminated: bool  # the model ended its text; otherwise it was cut
    outcome: float  # the grader's: 1 right, 0 wrong
    answer: str | None = None
    sampled_logprob: float | None = None  # of the sampler, summed; None where tokens were cut off afterwards
    scores: list[float] = field(default_factory=list)  # the PRM's, one a step; empty without a PRM
    rewards: Tensor = field(default_factory=lambda: torch.zeros(0))  # one a step
    old_logprobs: Tensor | None = None  # of the policy that sampled, by the trainer's arithmetic
    reference_logprobs: Tensor | None = None
    values: Tensor | None = None  # of the states before each token
    last_value: float = 0.0  # of the state after the last token
    advantages: Tensor = field(default_factory=lambda: torch.zeros(0))  # one a unit, see trainers/losses.py
    returns: Tensor | None = None  # one a unit of the critic

    @property
    def text(self) -> str:
        """The solution as the model wrote it."""
        return "".join(step.text for step in self.steps)

    @property
    def ends(self) -> list[int]:
        """Tokens up to the end of each step."""
        return [step.end for step in self.steps]

    @property
    def starts(self) -> list[int]:
        """Tokens before each step."""
        return [0, *self.ends[:-1]]

    @property
    def length(self) -> int:
        """Tokens of prompt and solution."""
        return len(self.prompt_ids) + len(self.token_ids)

    def step_of_token(self) -> Tensor:
        """[tokens], the index of the step that each token is of."""
        lengths = torch.tensor([end - start for start, end in zip(self.starts, self.ends, strict=True)])
        return torch.arange(len(self.steps)).repeat_interleave(lengths)

    def sum_by_step(self, of_tokens: Tensor) -> Tensor:
        """[steps], sums of a number [tokens] over the tokens of each step."""
        return of_tokens.new_zeros(len(self.steps)).index_add(0, self.step_of_token(), of_tokens)


def restored(fields: dict[str, Any]) -> Rollout:
    """The solution whose `dataclasses.asdict` went through a checkpoint."""
    steps = [Step(**step) for step in fields["steps"]]
    return Rollout(**(fields | {"problem": Problem(**fields["problem"]), "steps": steps}))
