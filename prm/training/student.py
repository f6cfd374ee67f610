"""A PRM in training, as train/core/fit.py asks for it: its losses, its tests and its folders."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from prm.training import model as models
from prm.training.evaluation import Evaluation
from prm.training.losses import losses
from prm.training.model import Margins, Trainee
from train.core.plan import LabelledPass
from train.core.processes import Processes
from train.core.sharding import Shards

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass
class PrmStudent:
    """See `train.core.fit.Student`."""

    trainee: Trainee
    loss: str  # see losses.py
    evaluation: Evaluation | None = None
    bf16: bool = False  # arithmetic
    merge: bool = False  # an adapter into the finished model
    save_dtype: str | None = None  # of the finished weights; None: as they are trained

    @property
    def module(self) -> Margins:
        """See `Student`."""
        return self.trainee.margins

    def losses(self, part: LabelledPass) -> Tensor:
        """See `Student`."""
        with arithmetic(part.input_ids.device.type, self.bf16):
            margins = self.module(part)
        return losses(margins, part.targets, self.loss, self.trainee.head.sigmoid)

    def shard(self, shards: Shards) -> None:
        """See `Student`."""
        dtype = torch.bfloat16 if self.bf16 else None
        shards.layers(self.module.bare, dtype)
        shards.root(self.module, dtype)

    def test(self, processes: Processes) -> dict[str, float]:
        """See `Student`."""
        assert self.evaluation is not None
        with arithmetic(self.trainee.model.device.type, self.bf16):
            return self.evaluation.measure(self.trainee, processes)

    def save(self, folder: Path, weights: dict[str, Tensor] | None = None) -> None:
        """See `Student`."""
        models.save(self.trainee, folder, weights)

    def restore(self, folder: Path) -> None:
        """See `Student`."""
        models.restore(self.trainee, folder)

    def finish(self, folder: Path) -> None:
        """See `Student`."""
        if self.save_dtype is not None:
            self.module.to(DTYPES[self.save_dtype])
        models.save(self.trainee, folder, merge=self.merge)


def arithmetic(device: str, bf16: bool) -> contextlib.AbstractContextManager[object]:
    """bf16 where it is wanted."""
    return torch.autocast(device, dtype=torch.bfloat16) if bf16 else contextlib.nullcontext()
