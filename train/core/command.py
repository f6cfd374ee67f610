"""The frame of a training command: the processes of torchrun, the device of each, and one exit status for all."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from functools import partial

from reason.common.command import run_command
from reason.common.errors import UserError
from train.core.processes import Processes, gpu_of_process, started

Act = Callable[[Processes], int | None] | Callable[[Processes], Awaitable[int | None]]


def run_training(prog: str, act: Act, interrupted: str = "") -> int:
    """`act` in each process of a torchrun, or in this one alone; returns the exit status, see `run_command`.

    The first process speaks for all; `interrupted` is its line behind Ctrl-C.
    """
    with started() as processes:
        status = run_command(prog, partial(act, processes), speaks=processes.first)
        if status == 130 and interrupted and processes.first:
            print(f"{prog}: {interrupted}", file=sys.stderr)
        processes.leave(status)
    return status


def take_device(wanted: str | None = None) -> str:
    """cpu, or cuda, which is from now on this process's GPU. Raises UserError where there is none for it."""
    import torch

    device = wanted or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda":
        if not torch.cuda.is_available():
            raise UserError("--device cuda: torch sees no GPU here")
        number, count = gpu_of_process(), torch.cuda.device_count()
        if number >= count:
            raise UserError(f"each process needs a GPU of its own, but torch sees {count}: lower --nproc_per_node")
        torch.cuda.set_device(number)
    return device


def arithmetic_of(wanted: str | None, device: str) -> str:
    """fp32 or bf16: what was asked for, or what is usual on the device."""
    return wanted or ("bf16" if device == "cuda" else "fp32")
