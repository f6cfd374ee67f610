"""PRM training: this project's updates against a plain `transformers.Trainer`. `python -m scripts.bench.prm_training`

The same made-up solutions (3 to 13 arithmetic steps), model, dtype, threads and update size; each trainer is a process
of its own, so that its peak memory is its own. Rows:

- `pad to 2048`: the reference, all inputs padded to 2,048 tokens, as OpenR's scripts have it;
- `length grouped`: inputs of like length together, padded to the longest of their batch;
- `ours`: prm/training.

tokens_per_s counts real tokens, without padding, after warm-up updates. peak_mb is the process's resident memory.
speedup = tokens_per_s / that of `pad to 2048`; `ours` also has it over `length grouped`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.bench.frame import Row, bench_rows
from scripts.bench.own_process import ROOT, in_own_process

REFERENCE, GROUPED, OURS = "pad to 2048", "length grouped", "ours"
LENGTH = 2048
ROWS = {REFERENCE: 4, GROUPED: 8, OURS: None}  # of a forward pass; ours has a budget of tokens
Marks = list[tuple[float, int]]  # time and real tokens so far, after each update


def main() -> int:
    """The command; returns its exit status."""
    p = argparse.ArgumentParser(prog="prm_training.py", description="Measure the training of PRMs.")
    p.add_argument("--model", default=str(ROOT / "reason/llm_service/models/openr-tiny-prm"), help="the base's folder")
    p.add_argument("--card", help="name or path of its card; default: the model's own")
    p.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads; default %(default)s")
    p.add_argument("--dtype", choices=("fp32", "bf16"), default="fp32", help="default %(default)s")
    p.add_argument("--update_size", type=int, default=64, help="solutions an update; default %(default)s")
    p.add_argument("--updates", type=int, default=12, help="measured; the reference has a quarter; default %(default)s")
    p.add_argument("--batch_tokens", type=int, help="ours: padded tokens of a forward pass; default by device")
    p.add_argument("--quick", action="store_true", help="updates of 16 solutions, 4 measured; within a minute")
    p.add_argument("--json", type=Path, metavar="FILE")
    p.add_argument("--trainer", choices=ROWS, help=argparse.SUPPRESS)  # what a process of its own is started with
    args = p.parse_args()
    if args.quick:
        args.update_size, args.updates = min(args.update_size, 16), min(args.updates, 4)
    if args.trainer:
        print(json.dumps(measure(args)))
        return 0
    from importlib.metadata import version

    more = {"threads": args.threads, "dtype": args.dtype, "torch": version("torch")}
    with bench_rows("prm_training", args.json, 22, **more) as rows:
        for name in ROWS:
            row = in_own_process("scripts.bench.prm_training", name)
            row["speedup"] = row["tokens_per_s"] / (rows or [row])[0]["tokens_per_s"]
            row["speedup_length_grouped"] = row["tokens_per_s"] / rows[1]["tokens_per_s"] if len(rows) > 1 else None
            rows.add(row)
    return 0


def measure(args: argparse.Namespace) -> Row:
    """Train, and say how many real tokens went through the model a second, after the first updates."""
    import torch

    from prm.benchmarks.cases import Case, Skips
    from prm.training import model as models
    from prm.training.examples import lay_out
    from reason.model_cards import card as cards

    torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    card = cards.find(args.model, "prm", args.card)
    updates = max(1, args.updates // 4) if args.trainer == REFERENCE else args.updates
    warm_up = 1 if args.trainer == REFERENCE else 3
    trainee = models.load(args.model, card)
    cases = [Case("", "", *one) for one in made_up(args.update_size * (args.updates + 3))]
    examples = lay_out(cases, trainee.layouter, "hard", Skips())
    if args.trainer == OURS:
        marks = with_ours(args, trainee, examples, device, warm_up + updates)
    else:
        marks = with_transformers(args, trainee, examples, device, warm_up + updates)
    (start, before), (end, after) = marks[warm_up - 1], marks[-1]
    return {"trainer": args.trainer, "tokens_per_s": (after - before) / (end - start), "peak_mb": 0.0,
            "tokens": after - before, "seconds": end - start, "updates": updates}  # fmt: skip


def with_ours(args: argparse.Namespace, trainee: Any, examples: list[Any], device: str, updates: int) -> Marks:
    """The updates of prm/training, as train/core/fit.py makes them."""
    from prm.training.run import BATCH_TOKENS
    from prm.training.student import PrmStudent
    from train.core.fit import adamw
    from train.core.options import LoopOptions
    from train.core.plan import Plan
    from train.core.update import update

    student = PrmStudent(trainee, "cross_entropy", bf16=args.dtype == "bf16")
    student.module.to(device).train()
    learner = adamw(student.module, LoopOptions(learning_rate=1e-5))
    plan = Plan(examples, args.update_size, args.batch_tokens or BATCH_TOKENS[device])
    marks, tokens = [], 0
    for number in range(updates):
        share = plan.update(number)

        def loss_of(part: Any, weight: float = share.weight) -> Any:
            part = part.to(device)
            return (student.losses(part) * part.weights).sum() / weight

        update([learner], share.passes, loss_of, 1.0, f"update {number + 1}")
        tokens += sum(part.tokens for part in share.passes)
        marks.append((time.perf_counter(), tokens))
    return marks


def with_transformers(args: argparse.Namespace, trainee: Any, examples: list[Any], device: str, updates: int) -> Marks:
    """The updates of `transformers.Trainer`."""
    import torch
    from transformers import AutoModelForCausalLM, Trainer, TrainerCallback, TrainingArguments

    card, rows, marks = trainee.card, ROWS[args.trainer] or 1, []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            marks.append((time.perf_counter(), trainer.tokens))

    class Counting(Trainer):
        tokens = 0  # learnt from; the loader is a batch ahead

        def training_step(self, model: Any, inputs: Row, *args: Any) -> torch.Tensor:
            self.tokens += int(inputs["attention_mask"].sum())
            return super().training_step(model, inputs, *args)

    with tempfile.TemporaryDirectory() as folder:
        options = TrainingArguments(
            output_dir=folder, max_steps=updates, learning_rate=1e-5, bf16=args.dtype == "bf16",
            use_cpu=device == "cpu", per_device_train_batch_size=rows,
            gradient_accumulation_steps=args.update_size // rows, save_strategy="no", report_to=[],
            logging_strategy="no", disable_tqdm=True, dataloader_pin_memory=False,
            train_sampling_strategy="random" if args.trainer == REFERENCE else "group_by_length",
        )  # fmt: skip
        model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)  # as transformers has it
        collate = Collate(LENGTH if args.trainer == REFERENCE else None)
        good, bad = (trainee.layouter.single_token(name, getattr(card, name)) for name in ("good", "bad"))
        data = [as_lm(example, good, bad) for example in examples]
        trainer = Counting(model, options, train_dataset=data, data_collator=collate, callbacks=[Clock()])
        trainer.train()
    return marks


@dataclass(frozen=True)
class Collate:
    """Pads a causal LM's inputs to `length`, or to the longest."""

    length: int | None

    def __call__(self, rows: Sequence[Row]) -> Row:
        import torch

        length = self.length or max(len(row["input_ids"]) for row in rows)

        def padded(name: str, fill: int) -> torch.Tensor:
            return torch.tensor([row[name] + [fill] * (length - len(row[name])) for row in rows])

        mask = torch.tensor([[1] * len(row["input_ids"]) + [0] * (length - len(row["input_ids"])) for row in rows])
        return {"input_ids": padded("input_ids", 0), "labels": padded("labels", -100), "attention_mask": mask}


def as_lm(example: Any, good: int, bad: int) -> Row:
    """The example for a causal LM's own loss, which has the label of a position one behind it."""
    ids = [*example.ids, 0]
    labels = [-100] * len(ids)
    for position, target in zip(example.positions, example.targets, strict=True):
        labels[position + 1] = good if target else bad
    return {"input_ids": ids, "labels": labels}


def made_up(count: int) -> list[tuple[str, tuple[str, ...], tuple[int, ...]]]:
    """Questions, steps like the embedded policy's, and labels."""
    rng = random.Random(0)
    found = []
    for _ in range(count):
        steps = []
        for _ in range(rng.randrange(3, 14)):
            a, b, c, d = (rng.randrange(10, 100) for _ in range(4))
            steps.append(f"{a} + {b} = {a + b}; {a + b} * {rng.randrange(2, 10)} - {c} + {d}")
        labels = [1] * (len(steps) - 1) + [rng.randrange(2)]
        found.append((f"{rng.randrange(10, 100)} + 3 * 4 - 5", tuple(steps), tuple(labels)))
    return found


if __name__ == "__main__":
    sys.exit(main())
