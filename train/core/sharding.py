"""Weights in shards, for models of which a process cannot hold all that learning needs (torch's FSDP2).

Each process holds 1 / n of every weight, of its gradient and of the optimizer's numbers for it, all in fp32: with AdamW
4 + 4 + 8 bytes a weight. For a forward or backward pass the weights of a layer are gathered from all processes, in bf16
where the arithmetic is bf16; its gradients are added up and cut into shards as soon as they are there.

    --shard gradients   whole weights are kept from the forward to the backward pass, as in ZeRO-2
    --shard weights     each layer's are forgotten behind it, and gathered again for the backward pass, as in ZeRO-3

(Rajbhandari et al., 2020.) GB a process for what learns, for a policy of 7.6e9 weights in 28 layers of 2.3e8, with bf16
arithmetic and 8 processes, beside the activations:

                        fp32 shards            whole weights in bf16           together
    without --shard     7.6 x 16 = 122         copies as they are used         122 and more
    --shard gradients   7.6 x 16 / 8 = 15      7.6 x 2 = 15                    30
    --shard weights     7.6 x 16 / 8 = 15      embeddings and head 2.2, and    18
                                               0.5 a layer at hand

The reference of a KL (4 bytes a weight; an adapter needs none) and a critic of its own are sharded like the policy. Not
sharded are a PRM and what samples: the rollout engine of a process has the policy's plain weights in the dtype of the
arithmetic (15 GB here). With --rollout_engine served they are workers of their own, with as many GPUs each as they
need. Where weights go into files, the first process alone has all of them, in its main memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from train.core.processes import Processes, gpu_of_process

T = TypeVar("T")


@dataclass(frozen=True)
class Shards(Processes):
    """The processes of a run that share out its weights. They must do equally many passes, so that each gives its part
    of the weights to the passes of the others."""

    mesh: Any = None  # of the device that they compute on
    forget: bool = True  # whole weights behind a forward pass

    @classmethod
    def of(cls, processes: Processes, kind: str, device: str) -> Shards:
        """`kind`: gradients or weights."""
        mesh = init_device_mesh(device, (processes.size,))
        return cls(processes.rank, processes.size, processes.group, mesh, kind == "weights")

    def missing(self, count: int) -> int:
        """As many as the process with most passes has more."""
        return max(self.gather(count)) - count

    def add_gradients(self, parameters: Iterable[Any]) -> None:
        """Each backward pass has done it."""

    def in_turn(self, make: Callable[[], T]) -> T:
        """What `make` makes, by one process of a machine after the other: its memory holds one whole model at a time.

        `make` must send no messages.
        """
        found: list[T] = []
        for turn in range(int(os.environ.get("LOCAL_WORLD_SIZE", "1"))):
            with self.together():
                if turn == gpu_of_process():
                    found.append(make())
        return found[0]

    def layer(self, module: nn.Module, dtype: torch.dtype | None) -> None:
        """Shard what of a module is not sharded yet. It is gathered at once, in `dtype` or as it is, when it is called.

        Gradients are summed in fp32, and as sums: the weights of the loss are already those of all processes.
        """
        self._shard(module, dtype, self.forget)

    def root(self, module: nn.Module, dtype: torch.dtype | None) -> None:
        """The same for a module that has the others inside, and that is the one to call. What is its own stays whole
        until the backward pass, which begins with it."""
        self._shard(module, dtype, False)
        module.register_forward_hook(_put_away)

    def layers(self, model: nn.Module, dtype: torch.dtype | None) -> None:
        """Shard what a model's class names as not to be split, each by itself."""
        names = set(getattr(model, "_no_split_modules", None) or ())
        for module in [module for module in model.modules() if type(module).__name__ in names]:
            self.layer(module, dtype)

    def _shard(self, module: nn.Module, dtype: torch.dtype | None, forget: bool) -> None:
        precision = MixedPrecisionPolicy(dtype, torch.float32, cast_forward_inputs=False)
        fully_shard(module, mesh=self.mesh, reshard_after_forward=forget, mp_policy=precision)
        assert isinstance(module, FSDPModule)
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)  # gloo knows no scaled sums


def _put_away(root: nn.Module, arguments: Any, result: Any) -> None:
    """Behind a pass without a gradient no backward pass comes that would: whole weights would outlive the next step."""
    if not torch.is_grad_enabled():
        for module in root.modules():
            if isinstance(module, FSDPModule):
                module.reshard()


def whole(tensor: Tensor) -> Tensor:
    """A sharded tensor gathered, by all processes at once; any other as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, own: Tensor) -> Tensor:
    """This process's part of a whole tensor, where `own` is the sharded tensor that it is for; else as it is."""
    if not isinstance(own, DTensor) or tensor.shape != own.shape:
        return tensor
    part = distribute_tensor(tensor, own.device_mesh, own.placements, src_data_rank=None)
    return torch.empty_like(own).copy_(part)  # not a view that would keep the whole one


def gathered(state: Any, keep: bool) -> Any:
    """A state of dicts and lists with whole tensors, in main memory, for its sharded ones, where it is to be kept.

    All processes must ask, with states of one structure. Sharded or not, states look the same in a file.
    """
    if isinstance(state, dict):
        return {name: gathered(value, keep) for name, value in state.items()}
    if isinstance(state, list):
        return [gathered(value, keep) for value in state]
    if isinstance(state, DTensor):
        full = whole(state)
        return full.cpu() if keep else None
    return state


def load_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any]) -> None:
    """Take up an optimizer's state of whole tensors."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    state = {
        index: {name: like(value, parameters[index]) for name, value in numbers.items()}
        for index, numbers in saved["state"].items()
    }
    optimizer.load_state_dict(saved | {"state": state})


def clip_gradients(parameters: Iterable[nn.Parameter], most: float) -> Tensor:
    """Scale gradients to a norm of at most `most` over all of them; returns what it was."""
    parameters = list(parameters)
    norm = whole(nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None]))
    nn.utils.clip_grads_with_norm_(parameters, most, norm)
    return norm
