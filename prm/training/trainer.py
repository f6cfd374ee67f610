"""The training loop: `transformers.Trainer` with updates from a `Plan`, the loss of a whole update, and our folders.

An update's loss is sum(w l) / sum(w) over the labelled steps of all its passes on all processes. What a process
contributes is scaled by the number of processes, because gradients are averaged over them; so neither the token
budget nor the number of processes changes what is learnt.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainingArguments

from prm.training import model as models
from prm.training.evaluation import Evaluation
from prm.training.losses import losses
from prm.training.model import Trainee
from prm.training.plan import Pass, Plan, Update
from reason.common.errors import RunError


@dataclass
class Task:
    """What is learnt, how, and how it is judged on the way."""

    plan: Plan
    loss: str
    evaluation: Evaluation | None = None


class PrmTrainer(Trainer):
    """Trains a `Trainee`. An update, not a forward pass, is the Trainer's batch."""

    def __init__(self, trainee: Trainee, task: Task, args: TrainingArguments, **options: Any) -> None:
        self.trainee, self.task = trainee, task
        self.tokens = 0  # real tokens that this process has learnt from
        super().__init__(model=trainee.margins, args=args, eval_dataset=[] if task.evaluation else None, **options)
        if task.plan.world != args.world_size:
            raise ValueError("the plan is for another number of processes")

    def get_train_dataloader(self) -> DataLoader:
        """Stands for the updates of an epoch: the Trainer only counts them, see `get_batch_samples`."""
        return DataLoader(range(self.task.plan.per_epoch), batch_size=1)

    def get_batch_samples(self, epoch_iterator: Iterator, num_batches: int, device: torch.device) -> tuple[list, Any]:
        """The update that is due, and its weight: a function of its number, so that a resumed run has the same."""
        next(epoch_iterator)
        update = self.task.plan.update(self.state.global_step, self.args.process_index)
        return [update], update.weight

    def training_step(self, model: Any, inputs: Update, num_items_in_batch: Any = None) -> torch.Tensor:
        """All passes of this process; gradients are exchanged in the last one. Returns the loss, detached."""
        model.train()
        total = torch.zeros((), device=self.args.device)
        for one in inputs.passes:
            last = one is inputs.passes[-1]
            self.accelerator.gradient_state._set_sync_gradients(last)
            one = one.to(self.args.device)
            with contextlib.nullcontext() if last or self.is_deepspeed_enabled else self.accelerator.no_sync(model):
                with self.compute_loss_context_manager():
                    margins = model(one.input_ids, one.rows, one.positions)
                each = self.losses(margins, one)
                loss = (each * one.weights).sum() * (self.args.world_size / num_items_in_batch)
                kwargs = {"scale_wrt_gas": False} if self.is_deepspeed_enabled else {}
                self.accelerator.backward(loss, **kwargs)
            total += loss.detach()
            self.tokens += one.tokens
        if not math.isfinite(total.item()):
            place = f"update {self.state.global_step + 1}"
            raise RunError(f"the loss of {place} is {total.item()}: lower --learning_rate")
        return total

    def losses(self, margins: torch.Tensor, one: Pass) -> torch.Tensor:
        """[steps], of one forward pass, without their weights."""
        return losses(margins, one.targets, self.task.loss, self.trainee.head.sigmoid)

    def evaluate(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> dict[str, float]:
        """AUC, F1 and so on of the test data; see `Evaluation`."""
        assert self.task.evaluation is not None
        self.trainee.margins.eval()
        engine = self.model_wrapped if self.is_deepspeed_enabled else None
        found = self.task.evaluation.measure(self.trainee, self.accelerator, engine)
        self.trainee.margins.train()
        metrics = {f"{metric_key_prefix}_{name}": value for name, value in found.items()}
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def floating_point_ops(self, inputs: Update) -> int:
        """6 a trained or frozen weight and token, the usual estimate; of this process."""
        return 6 * sum(one.tokens for one in inputs.passes) * sum(p.numel() for p in self.trainee.margins.parameters())

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        models.save(self.trainee, folder, state_dict)
        torch.save(self.args, folder / "training_args.bin")

    def finish(self, folder: Path, merge: bool, dtype: str | None = None) -> None:
        """Save the finished model, an adapter merged where wanted, in `dtype` "fp32", "bf16" or as it was trained."""
        if dtype:
            self.trainee.margins.to({"fp32": torch.float32, "bf16": torch.bfloat16}[dtype])
        models.save(self.trainee, folder, merge=merge)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        models.restore(self.trainee, Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        if self.is_deepspeed_enabled:
            super()._load_best_model()
        else:
            models.restore(self.trainee, Path(str(self.state.best_model_checkpoint)))
