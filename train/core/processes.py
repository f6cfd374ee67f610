"""The processes of a run: one, or several that `torchrun` started and that share its work (data parallel).

Each process has the whole model and optimizer, or a share of them (sharding.py). It samples its share of an update's
questions, computes values, log-probabilities and gradients of its share of the solutions, and judges its share of the
held-out questions. What was sampled is made known to all, and gradients are added up. Advantages, mini-batches and the
weights of the loss come of all solutions, so the number of processes changes speed and nothing else, but for the order
in which numbers are added.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")

PATIENCE = timedelta(hours=2)  # of a process that has done its share, for the longest solutions of another


@dataclass(frozen=True)
class Processes:
    """How many there are, and which of them this is. All of them call the methods in the same order."""

    rank: int = 0
    size: int = 1
    group: Any = None  # whose messages: None for those of the run, see `apart`

    def apart(self) -> Processes:
        """The same processes with messages of their own, for what goes on beside the rest in another thread."""
        if self.size == 1:
            return self
        import torch.distributed as dist

        return replace(self, group=dist.new_group(backend="gloo", timeout=PATIENCE))

    @property
    def first(self) -> bool:
        """Whether this one speaks for all: it alone prints and writes files."""
        return self.rank == 0

    def share(self, many: Sequence[T]) -> Sequence[T]:
        """This process's part of what all of them have: one stretch, of nearly the same size for each."""
        return many[len(many) * self.rank // self.size : len(many) * (self.rank + 1) // self.size]

    def union(self, own: Sequence[T]) -> list[T]:
        """The parts of all processes, in their order: undoes `share`."""
        return [one for part in self.gather(own) for one in part]

    def gather(self, own: T) -> list[T]:
        """What each process gives, by rank."""
        if self.size == 1:
            return [own]
        import torch.distributed as dist

        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, own, self.group)
        return found

    def add_gradients(self, parameters: Iterable[Any]) -> None:
        """Give each parameter the sum of its gradients in all processes; that of one without a share is 0."""
        if self.size == 1:
            return
        import torch
        import torch.distributed as dist

        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad, group=self.group)

    def missing(self, count: int) -> int:
        """Passes that a process must take part in beside its own `count`: none, as its model is whole."""
        return 0

    def in_turn(self, make: Callable[[], T]) -> T:
        """What `make` makes, such as models, in each process; by all of them at once where each can hold its own."""
        with self.together():
            return make()

    def leave(self, status: int) -> None:
        """End one of several processes here, all of its work done, with an exit status.

        Not through the interpreter's own end: there, threads of torch.distributed sometimes abort a process whose peer
        is still at work, and torchrun takes that for a failure of the run.
        """
        if self.size > 1:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Around what each process does by itself: an error of one of them is raised in all, so that none waits."""
        own = None
        try:
            yield
        except Exception as error:
            own = error
        errors = [error for error in self.gather(own) if error is not None]
        if errors:
            raise own or errors[0]


ALONE = Processes()


@contextlib.contextmanager
def started() -> Iterator[Processes]:
    """The processes that `torchrun` started, connected by gloo, and by NCCL for what is on GPUs; without it `ALONE`."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    import torch
    import torch.distributed as dist

    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    try:
        yield Processes(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def gpu_of_process() -> int:
    """Which GPU of its machine is this process's, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0"))
