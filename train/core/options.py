"""Options of a training by a plan, for every command that has one. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass

from reason.common.options import check, option

SHARDS = ("gradients", "weights")


@dataclass(frozen=True)
class LoopOptions:
    """The updates of a training."""

    num_train_epochs: float = option(3.0, "passes over the examples", metavar="N", above=0)
    total_batch_size: int = option(256, "solutions an update, in all", least=1)
    batch_tokens: int | None = option(None, "padded tokens of a forward pass; default by device", metavar="N", least=1)
    per_device_train_batch_size: int | None = option(
        None, "at most N solutions in a forward pass", metavar="N", least=1
    )
    learning_rate: float = option(1e-4, "its peak", above=0)
    warmup_ratio: float = option(0.03, "of the updates", least=0, below=1)
    weight_decay: float = option(0.01, "of weights that are no biases and of no norm", least=0, below=1)
    max_grad_norm: float = option(1.0, "gradients are clipped to this norm", above=0)
    dtype: str | None = option(
        None, "of the arithmetic; weights that learn are fp32 either way; default: bf16 on a GPU, else fp32",
        choices=("fp32", "bf16"),
    )  # fmt: skip
    gradient_checkpointing: bool = option(False, "less memory, a third more time", switch=True)
    seed: int = option(42, "of the order of examples, new weights and dropout")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class CheckpointOptions:
    """Checkpoints, and what is told on the way."""

    resume: bool = option(False, "go on from the last checkpoint in --output_dir", switch=True)
    save_steps: int | None = option(
        None, "a checkpoint, and a test on test data, every N updates; default: every epoch", metavar="N", least=1
    )
    save_total_limit: int = option(2, "checkpoints kept", metavar="N", least=1)
    logging_steps: int = option(10, "updates between two lines of progress", metavar="N", least=1)

    def __post_init__(self) -> None:
        check(self)
