"""The critic: V(s), the return that is to be expected from a question and the tokens written so far.

Its head reads the last hidden state of a trunk. The trunk is either a copy of the policy, trained with it (`own`), or
the policy itself, whose hidden states are read without a gradient (`shared`): less memory, no second forward pass, and
values as good as features of another purpose allow.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from train.core.sharding import like
from train.mat.buffers.batches import RolloutPass

HEAD_SIZE = 512
CRITICS = ("own", "shared")


def value_head(size: int) -> nn.Sequential:
    """Hidden state [..., size] to value [..., 1], in fp32. It starts at 0, so that first advantages are returns."""
    last = nn.Linear(HEAD_SIZE, 1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.LayerNorm(size), nn.Linear(size, HEAD_SIZE), nn.ReLU(), last)


class Critic(nn.Module):
    """Values of the states before each token, and after the last one."""

    def __init__(self, trunk: nn.Module, size: int, kind: str) -> None:
        """`trunk`: the policy's, from token ids to hidden states; `size` of a hidden state."""
        super().__init__()
        self.kind = kind
        if kind == "own":
            self.trunk = copy.deepcopy(trunk).float().requires_grad_(True)
        else:
            self.__dict__["trunk"] = trunk  # not a submodule: its weights are the policy's
        self.head = value_head(size).to(next(trunk.parameters()).device)

    def forward(self, one: RolloutPass) -> tuple[Tensor, Tensor]:
        """(values before each token [tokens], values after each solution [rows]), fp32."""
        hidden = self._hidden(one.input_ids)
        rows = torch.arange(len(one.rollouts), device=hidden.device)
        states = torch.cat([hidden[one.rows, one.positions], hidden[rows, one.last]])
        values = self.head(states.float())[:, 0]
        before, after = values[: len(one.rows)], values[len(one.rows) :]
        return before.clone(), after.clone()  # in shards, what a module gives may not be a view

    def _hidden(self, input_ids: Tensor) -> Tensor:
        if self.kind == "own":
            return self.trunk(input_ids=input_ids, use_cache=False).last_hidden_state
        with torch.no_grad():
            return self.trunk(input_ids=input_ids, use_cache=False).last_hidden_state

    def restore(self, weights: dict[str, Tensor]) -> None:
        """Take the weights of a checkpoint."""
        own = self.state_dict()
        self.load_state_dict({name: like(weight, own.get(name, weight)) for name, weight in weights.items()})

    def trainable(self) -> list[nn.Parameter]:
        """What its optimizer moves."""
        return [p for p in self.parameters() if p.requires_grad]
