"""A training by a plan: updates, figures, tests, checkpoints. PRMs, judges and fine-tuned policies are its students.

    DIR/checkpoint-N/    the student as it is then, optimizer.pt, rng_state.pth, trainer_state.json
    DIR/                 the finished student, and trainer_state.json with the figures of all updates

Names and contents are those of `transformers.Trainer`, so that a training that it began goes on here.
"""

from __future__ import annotations

import contextlib
import math
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers.trainer_pt_utils import get_parameter_names, safe_globals

from reason.common.errors import UserError
from reason.common.files import read_json, write_json
from train.core.options import CheckpointOptions, LoopOptions
from train.core.plan import LabelledPass, Plan
from train.core.processes import Processes
from train.core.sharding import Shards, gathered, load_optimizer
from train.core.update import Learner, rate_share, update

Write = Callable[[dict[str, float], int], None]  # figures, and the update they are of

STATE = "trainer_state.json"
NO_DECAY = [r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)"]  # names of weights


class Student(Protocol):
    """What is trained, with all that goes into its folder."""

    @property
    def module(self) -> nn.Module:
        """All its weights; where they are in shards, to be called as a whole."""
        ...

    def losses(self, part: LabelledPass) -> Tensor:
        """[places], without their weights."""
        ...

    def shard(self, shards: Shards) -> None:
        """Share the weights out."""
        ...

    def test(self, processes: Processes) -> dict[str, float]:
        """Figures of the test data; all processes must ask. Empty without test data."""
        ...

    def save(self, folder: Path, weights: dict[str, Tensor] | None) -> None:
        """Write a checkpoint; `weights` are those of `module` where it is in shards."""
        ...

    def restore(self, folder: Path) -> None:
        """Take up what `save` wrote, before the weights are shared out."""
        ...

    def finish(self, folder: Path) -> None:
        """Write the finished model, from whole weights."""
        ...


@dataclass
class History:
    """How far a training is, and its figures."""

    global_step: int = 0
    max_steps: int = 0
    epoch: float = 0.0
    best_metric: float | None = None
    best_global_step: int | None = None
    log_history: list[dict[str, float]] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> History:
        """Of a checkpoint. Raises UserError."""
        saved = read_json(folder / STATE)
        return cls(**{one.name: saved[one.name] for one in fields(cls) if one.name in saved})

    def log(self, figures: dict[str, float]) -> None:
        """Note figures of the last update."""
        self.log_history.append(figures | {"epoch": self.epoch, "step": self.global_step})


@dataclass
class Fit:
    """One training: `run` it."""

    student: Student
    plan: Plan
    options: LoopOptions
    keeping: CheckpointOptions
    folder: Path
    device: str
    processes: Processes
    metric: str | None = None  # of the test: the checkpoint in which it is greatest is the finished model

    def run(self, resumed: Path | None) -> None:
        """Train from the beginning or from a checkpoint. Raises RunError, UserError."""
        torch.manual_seed(self.options.seed)
        if resumed is not None:
            self.student.restore(resumed)
        if isinstance(self.processes, Shards):
            self.student.shard(self.processes)
        else:
            self.student.module.to(self.device)
        learner = adamw(self.student.module, self.options)
        history = History()
        if resumed is not None:
            history = self._take_up(resumed, learner)
        history.max_steps = math.ceil(self.options.num_train_epochs * self.plan.per_epoch)
        with board(self.folder, self.processes.first) as write:
            self._updates(history, learner, write)
        self._finish(history)

    def _updates(self, history: History, learner: Learner, write: Write) -> None:
        """All updates that are left."""
        began, first, losses = time.monotonic(), history.global_step, []
        warmup = math.ceil(self.options.warmup_ratio * history.max_steps)

        def tell(figures: dict[str, float], line: str) -> None:
            history.log(figures)
            write(figures, history.global_step)
            if self.processes.first:
                print(f"update {history.global_step}/{history.max_steps}  {line}", flush=True)

        self.student.module.train()
        while history.global_step < history.max_steps:
            number = history.global_step + 1
            rate = learner.set_rate(rate_share(number, history.max_steps, warmup, falls_behind=warmup))
            share = self.plan.update(number - 1, self.processes.rank)

            def loss_of(part: LabelledPass, weight: float = share.weight) -> Tensor:
                part = part.to(torch.device(self.device))
                return (self.student.losses(part) * part.weights).sum() / weight

            figures = update(
                [learner], share.passes, loss_of, self.options.max_grad_norm, f"update {number}", self.processes
            )
            losses.append(figures["loss"])
            history.global_step, history.epoch = number, number / self.plan.per_epoch
            if number % self.keeping.logging_steps == 0:
                mean, left = sum(losses) / len(losses), history.max_steps - number
                minutes = (time.monotonic() - began) / (number - first) * left / 60
                tell(figures | {"loss": mean, "learning_rate": rate},
                     f"loss {mean:.4f}  lr {rate:.2e}  {minutes:.1f} min left")  # fmt: skip
                losses = []
            if self._due(number, history.max_steps, at_the_end=False):
                self._test(history, tell)
            if self._due(number, history.max_steps, at_the_end=True):
                self._save(history, learner)
        history.log({"train_runtime": time.monotonic() - began})

    def _due(self, number: int, last: int, at_the_end: bool) -> bool:
        """Whether a test or, `at_the_end` in any case, a checkpoint is due behind an update."""
        every = self.keeping.save_steps or self.plan.per_epoch
        return number % every == 0 or (number == last and (at_the_end or self.keeping.save_steps is None))

    def _test(self, history: History, tell: Callable[[dict[str, float], str], None]) -> None:
        if self.metric is None:
            return
        self.student.module.eval()
        found = self.student.test(self.processes)
        self.student.module.train()
        tell({f"eval_{name}": value for name, value in found.items()},
             f"test: {'  '.join(f'{name} {value:.4f}' for name, value in found.items())}")  # fmt: skip
        if history.best_metric is None or found[self.metric] > history.best_metric:
            history.best_metric, history.best_global_step = found[self.metric], history.global_step

    def _save(self, history: History, learner: Learner) -> None:
        """A checkpoint: written beside its place and moved there, so that what stands there is whole."""
        sharded, first = isinstance(self.processes, Shards), self.processes.first
        weights = gathered(dict(self.student.module.state_dict()), first) if sharded else None
        optimizer = gathered(learner.optimizer.state_dict(), first)
        random = self.processes.gather({"cpu": torch.get_rng_state(), "cuda": _cuda_random(self.device)})
        if first:
            fresh, place = self.folder / "checkpoint.tmp", self.folder / f"checkpoint-{history.global_step}"
            for leftover in (fresh, place):
                shutil.rmtree(leftover, ignore_errors=True)
            fresh.mkdir(parents=True)
            self.student.save(fresh, weights)
            torch.save(optimizer, fresh / "optimizer.pt")
            for rank, states in enumerate(random):
                torch.save(states, fresh / _random_file(rank, self.processes.size))
            write_json(fresh / STATE, asdict(history))
            fresh.replace(place)
            self._forget(history)
        self.processes.gather(None)  # none goes on before it is written

    def _forget(self, history: History) -> None:
        """Remove the oldest checkpoints, never the best or the last one."""
        numbers = sorted(checkpoints(self.folder))
        kept = set(numbers[-self.keeping.save_total_limit :])
        if history.best_global_step in numbers and history.best_global_step not in kept:
            if len(kept) > 1:
                kept.remove(min(kept))
            kept.add(history.best_global_step)
        for number in numbers:
            if number not in kept:
                shutil.rmtree(self.folder / f"checkpoint-{number}")

    def _take_up(self, checkpoint: Path, learner: Learner) -> History:
        """Optimizer, random state and figures of a checkpoint; the student has its weights. Raises UserError."""
        try:
            load_optimizer(
                learner.optimizer,
                torch.load(checkpoint / "optimizer.pt", map_location="cpu", weights_only=True),
            )
            random = checkpoint / _random_file(self.processes.rank, self.processes.size)
            if random.is_file():
                with safe_globals():  # those of `transformers.Trainer` hold numpy's state
                    states = torch.load(random, weights_only=True)
                torch.set_rng_state(states["cpu"])
                if self.device == "cuda" and states.get("cuda") is not None:
                    torch.cuda.set_rng_state(states["cuda"])
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise UserError(f"{checkpoint} cannot be read ({' '.join(str(error).split())[:200]}): remove it to go on "
                            "from the one before") from None  # fmt: skip
        return History.read(checkpoint)

    def _finish(self, history: History) -> None:
        best = None
        if history.best_global_step is not None:
            best = self.folder / f"checkpoint-{history.best_global_step}"
        if isinstance(self.processes, Shards):  # no process has the whole model any more
            weights = None if best else gathered(dict(self.student.module.state_dict()), self.processes.first)
            if self.processes.first and best:
                shutil.copytree(best, self.folder, dirs_exist_ok=True, ignore=_only_of_checkpoints)
            elif self.processes.first:
                self.student.save(self.folder, weights)
        elif self.processes.first:
            if best and best.is_dir():
                self.student.restore(best)
            self.student.finish(self.folder)
        if self.processes.first:
            write_json(self.folder / STATE, asdict(history))


def adamw(module: nn.Module, options: LoopOptions) -> Learner:
    """All weights of a module that learn, under AdamW; biases and weights of norms do not decay."""
    decay = set(get_parameter_names(module, [nn.LayerNorm], NO_DECAY))
    named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for name, p in named if name in decay], "weight_decay": options.weight_decay},
        {"params": [p for name, p in named if name not in decay], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=options.learning_rate, fused=True)
    return Learner("grad_norm", [p for _, p in named], optimizer, options.learning_rate)


def checkpoints(folder: Path) -> dict[int, Path]:
    """The checkpoints in a folder by their update."""
    found = {}
    for path in folder.glob("checkpoint-*"):
        if match := re.fullmatch(r"checkpoint-(\d+)", path.name):
            found[int(match[1])] = path
    return found


@contextlib.contextmanager
def board(folder: Path, writes: bool) -> Iterator[Write]:
    """TensorBoard's writer of figures, where it is installed; one that does nothing elsewhere."""
    if not writes or find_spec("tensorboard") is None:
        yield lambda figures, step: None
        return
    from torch.utils.tensorboard import SummaryWriter

    def write(figures: dict[str, float], step: int) -> None:
        for name, value in figures.items():
            tag = f"eval/{name.removeprefix('eval_')}" if name.startswith("eval_") else f"train/{name}"
            writer.add_scalar(tag, value, step)

    writer = SummaryWriter(str(folder / "runs"))
    try:
        yield write
    finally:
        writer.close()


def _only_of_checkpoints(folder: str, names: list[str]) -> set[str]:
    return {name for name in names if name in ("optimizer.pt", STATE) or name.startswith("rng_state")}


def _random_file(rank: int, size: int) -> str:
    return "rng_state.pth" if size == 1 else f"rng_state_{rank}.pth"


def _cuda_random(device: str) -> Tensor | None:
    return torch.cuda.get_rng_state() if device == "cuda" else None
