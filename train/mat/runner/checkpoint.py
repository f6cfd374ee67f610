"""Checkpoints: all that a run goes on from, and the policy as a plain Hugging Face model.

    RUN/checkpoints/000020.pt    weights, optimizers, random state, guards, best accuracy; the last two
    RUN/last/ RUN/best/          the policy, ready to be served

Each is written beside its place and then moved there, so that what stands there is whole.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import torch

from reason.common.errors import UserError
from train.mat.agents.policy import Policy

KEPT = 2


def save_state(run: Path, update: int, state: dict[str, Any]) -> None:
    """Write the checkpoint of an update and forget the oldest."""
    folder = run / "checkpoints"
    folder.mkdir(exist_ok=True)
    path = folder / f"{update:06d}.pt"
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)
    for old in _found(run)[:-KEPT]:
        old.unlink()


def load_state(run: Path) -> dict[str, Any] | None:
    """The last checkpoint of a run; None before the first. Raises UserError where it cannot be read."""
    paths = _found(run)
    if not paths:
        return None
    try:
        return torch.load(paths[-1], map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError) as error:
        raise UserError(f"{paths[-1]} cannot be read ({' '.join(str(error).split())[:200]}): remove it to go on from "
                       "the one before") from None  # fmt: skip


def _found(run: Path) -> list[Path]:
    return sorted((run / "checkpoints").glob("[0-9]*.pt"))


def save_policy(policy: Policy, folder: Path, writes: bool = True) -> None:
    """Replace the model in `folder`. All processes must take part; one of them writes."""
    fresh, old = folder.with_name(folder.name + ".tmp"), folder.with_name(folder.name + ".old")
    if writes:
        for leftover in (fresh, old):
            shutil.rmtree(leftover, ignore_errors=True)
    policy.save(fresh, writes)
    if not writes:
        return
    if folder.exists():
        os.replace(folder, old)
    os.replace(fresh, folder)
    shutil.rmtree(old, ignore_errors=True)
