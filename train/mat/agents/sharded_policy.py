"""A policy whose weights are in shards, and its critic (sharding.py tells what each process holds).

Whatever needs whole weights is asked of all processes at once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from train.core.plan import Pass
from train.core.sharding import Shards, whole
from train.mat.agents.policy import Policy
from train.mat.models.critic import Critic

T = TypeVar("T")


class Root(nn.Module):
    """A model, whole while something is computed by it: FSDP gathers weights when a module is called, and the policy's
    log-probabilities are of its trunk and its head, not of its own forward pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, compute: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """What `compute` gives."""
        return compute(*arguments, **named)


@dataclass
class ShardedPolicy(Policy):
    """A `Policy` whose weights are `DTensor`s outside of passes."""

    root: Any = None  # of the model that learns
    reference_root: Any = None
    empty: Any = None  # the model without its weights

    def _logprobs(self, causal: Any, one: Pass) -> tuple[Tensor, Tensor]:
        root = self.reference_root if causal is self.reference else self.root
        return root(super()._logprobs, causal, one)

    def sampler(self, attention: str, own: bool = False) -> Any:
        """See `Policy`. It has weights of its own in any case."""
        copied = self._whole(self.device, self.sampler_dtype)
        model = copied.get_base_model() if self.has_adapter else copied
        model.config._attn_implementation = attention
        return model.eval()

    def _for_files(self, writes: bool) -> Any:
        return self._whole(torch.device("cpu"), None, writes)

    @torch.no_grad()
    def _whole(self, device: torch.device, dtype: torch.dtype | None, keep: bool = True) -> Any:
        """A plain model with these weights, None where it is not to be kept."""
        places, found = dict(self.empty.named_parameters()), {}
        for name, own in self.model.named_parameters():
            weight = whole(own.detach())
            if keep:
                found[id(places[name])] = nn.Parameter(weight.to(device, dtype), requires_grad=False)
        return copy.deepcopy(self.empty, found).to(device) if keep else None


def shard(policy: Policy, critic: Critic | None, shards: Shards) -> ShardedPolicy:
    """The policy in shards, on the device of these; the critic is sharded in place. Sends no messages.

    Models may come in main memory: they go to the device layer by layer.
    """
    dtype = torch.bfloat16 if policy.autocast else None
    bare = {id(p): nn.Parameter(torch.empty_like(p, device="meta"), p.requires_grad) for p in policy.model.parameters()}
    empty = copy.deepcopy(policy.model, bare)
    given = {one.name: getattr(policy, one.name) for one in fields(policy) if one.init}
    roots = [Root(model) if model is not None else None for model in (policy.causal, policy.reference)]
    if critic is not None and critic.kind == "own":
        shards.layers(critic.trunk, dtype)
    for root in filter(None, roots):
        shards.layers(root.model, dtype)
        shards.root(root, dtype)
    if critic is not None:
        shards.layer(critic.head, None)
        shards.root(critic, dtype)
        if critic.kind == "shared":
            assert roots[0] is not None
            critic.__dict__["trunk"] = partial(roots[0].__call__, critic.trunk)
    return ShardedPolicy(**given, root=roots[0], reference_root=roots[1], empty=empty)
