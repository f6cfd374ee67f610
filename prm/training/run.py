"""From a command line to a trained PRM: read, lay out, train, save. The entry points in prm/code call `main`."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prm.training.arguments import Adapter, check_arguments, parser, shard_of
from reason.common.errors import UserError
from reason.common.files import read_json, write_json
from reason.common.options import settled_options
from reason.evaluation.records import first_difference
from train.core.command import arithmetic_of, run_training, take_device
from train.core.options import CheckpointOptions, LoopOptions
from train.core.processes import Processes

if TYPE_CHECKING:
    from prm.benchmarks.cases import Skips
    from prm.training.model import Trainee
    from reason.model_cards.card import PRMCard
    from train.core.fit import Student
    from train.core.plan import Plan

SETTINGS = "training.json"
BATCH_TOKENS = {"cpu": 1536, "cuda": 16384}
# May change when a training is resumed: they do not change what is learnt.
FREE = {"resume", "output_dir", "save_dtype", "batch_tokens", "per_device_train_batch_size", "logging_steps",
        "save_total_limit", "skip_bad_rows", "deepspeed", "shard", "gradient_checkpointing", "attention",
        "data_path"}  # fmt: skip


def main(card: str | None, output_dir: str, description: str, arguments: list[str] | None = None) -> int:
    """The command; `card` and `output_dir` are its defaults. Returns its exit status."""
    prog = Path(sys.argv[0]).name
    args = parser(prog, description, card, output_dir).parse_args(arguments)
    return run_training(prog, lambda processes: train(args, processes, card), interrupted(args))


def interrupted(args: argparse.Namespace) -> str:
    """What is said behind Ctrl-C."""
    return f"interrupted; --resume goes on from the last checkpoint in {args.output_dir}"


def train(args: argparse.Namespace, processes: Processes, usual: str | None = None) -> None:
    """Train and save; `usual` is the card of the entry point. Raises UserError, RunError, OSError."""
    check_arguments(args)

    import torch
    from transformers.utils.logging import disable_progress_bar

    from prm.benchmarks.cases import Skips
    from prm.training import model as models
    from prm.training.evaluation import Evaluation
    from prm.training.examples import Weights, balanced, lay_out, weighted
    from prm.training.losses import choose
    from prm.training.rows import digest, read_files
    from prm.training.student import PrmStudent

    disable_progress_bar()  # of each loading and saving
    device, processes = prepare(args, processes)
    card = card_of(args, usual)
    merge = not args.full and card.head != "token_logits"  # over a base without its head it could not be served
    loss = choose(args.loss, card)
    if shard_of(args) and merge:
        raise UserError("weights in shards cannot merge an adapter into a model with a head of its own: give --full")
    skips = Skips(args.skip_bad_rows)
    tags = [args.step_tag or card.step_tag.strip()]
    cases = read_files(args.train_data_path, tags, skips, args.limit)
    tests = read_files(args.test_data_path, tags, skips)
    settings = settings_of(args, train=digest(cases), test=digest(tests))
    resumed = to_resume(args, settings)
    torch.manual_seed(args.seed)
    trainee = processes.in_turn(lambda: models.load(args.model_path, card, **loading(args, args.full)))
    examples = lay_out(cases, trainee.layouter, args.labels, skips, args.after_first_error)
    weights = balanced(examples) if args.wrong_weight == "balanced" else Weights(1.0, args.wrong_weight)
    evaluation = Evaluation.prepare(tests, trainee.layouter, args.batch_tokens, skips) if tests else None
    student = PrmStudent(trainee, loss, evaluation, args.dtype == "bf16", merge, args.save_dtype)
    plan = plan_of(weighted(examples, weights), args, processes)
    if processes.first:
        describe(plan, trainee, len(cases), skips)
    learn(student, plan, args, settings, resumed, device, processes, args.metric_for_best_model if tests else None)


def prepare(args: argparse.Namespace, processes: Processes) -> tuple[str, Processes]:
    """(device, processes, which share out the weights where that is asked for); fills in what follows from the device.
    Raises UserError.
    """
    device = take_device()
    args.dtype = arithmetic_of(args.dtype, device)
    args.batch_tokens = args.batch_tokens or BATCH_TOKENS[device]
    kind = shard_of(args)
    if kind and processes.size > 1:
        from train.core.sharding import Shards

        processes = Shards.of(processes, kind, device)
    return device, processes


def loading(args: argparse.Namespace, full: bool) -> dict[str, Any]:
    """The options of prm.training.model.load."""
    import torch

    return {
        "base_model": args.base_model,
        "lora": None if full else settled_options(args, Adapter),
        "dtype": torch.bfloat16 if args.dtype == "bf16" and not full else torch.float32,
        "attention": args.attention,
        "gradient_checkpointing": args.gradient_checkpointing,
        "trust_remote_code": args.trust_remote_code,
    }


def plan_of(examples: list[Any], args: argparse.Namespace, processes: Processes) -> Plan:
    """The updates of these examples."""
    from train.core.plan import Plan

    most = args.per_device_train_batch_size
    return Plan(examples, args.total_batch_size, args.batch_tokens, args.seed, processes.size, most)


def learn(
    student: Student, plan: Plan, args: argparse.Namespace, settings: dict[str, Any], resumed: Path | None,
    device: str, processes: Processes, metric: str | None,
) -> None:  # fmt: skip
    """Train from the beginning or from a checkpoint; then the finished model is in --output_dir, with its card."""
    from train.core.fit import Fit

    loop, keeping = settled_options(args, LoopOptions), settled_options(args, CheckpointOptions)
    if processes.first and resumed:
        print(f"going on from {resumed}", flush=True)
    elif processes.first:
        args.output_dir.mkdir(parents=True, exist_ok=True)
        write_json(args.output_dir / SETTINGS, settings)
    Fit(student, plan, loop, keeping, args.output_dir, device, processes, metric).run(resumed)
    if processes.first:
        which = "the best" if metric else "the last"
        print(f"{which} model is in {args.output_dir}, with its card", flush=True)


def card_of(args: argparse.Namespace, usual: str | None = None) -> PRMCard:
    """The card of what is trained; `usual` is the entry point's. Raises UserError."""
    from prm.training.generic import card_or_generic
    from prm.training.targets import OF_OUTCOMES

    card, note = card_or_generic(args.model_path, args.card, args.card is not None and args.card == usual)
    if note:
        print(f"note: {note}", file=sys.stderr)
    if args.head is not None and args.head != card.head:
        card = dataclasses.replace(card, head=args.head, good="", bad="", head_weights=(), head_affine=(), head_file="")
    if args.labels in OF_OUTCOMES or (args.labels == "soft" and card.meaning == "correctness"):
        meaning = "value" if card.meaning == "correctness" else card.meaning
        aggregation = "last" if args.labels in OF_OUTCOMES else card.aggregation
        card = dataclasses.replace(card, meaning=meaning, aggregation=aggregation)
    return card


def settings_of(args: argparse.Namespace, **data: str) -> dict[str, dict[str, Any]]:
    """What decides what is learnt, as plain data: arguments, and hashes of the data."""
    return {"arguments": {key: _plain(value) for key, value in vars(args).items()}, "data": data}


def to_resume(args: argparse.Namespace, settings: dict[str, Any]) -> Path | None:
    """The checkpoint to go on from, if any. Raises UserError where the folder holds another training, or none."""
    from train.core.fit import checkpoints

    folder = args.output_dir
    saved = checkpoints(folder)
    if saved and not args.resume:
        raise UserError(f"{folder} holds a training already: --resume goes on with it, or give another --output_dir")
    if args.resume and not saved:
        raise UserError(f"{folder} holds no checkpoint to resume from")
    if not saved:
        return None
    difference = first_difference(read_json(folder / SETTINGS), settings, FREE, ("arguments", "data"))
    if difference:
        raise UserError(f"{folder / SETTINGS}: {difference}; give the training's own value, or another --output_dir")
    return saved[max(saved)]


def describe(plan: Plan, trainee: Trainee, solutions: int, skips: Skips) -> None:
    """What is trained on what."""
    from prm.benchmarks.report import skip_notes

    steps = sum(len(e.targets) for e in plan.examples)
    mean = sum(t for e in plan.examples for t in e.targets) / steps
    tokens = sum(len(e.ids) for e in plan.examples)
    learnt = sum(p.numel() for p in trainee.margins.parameters() if p.requires_grad)
    print(f"{solutions} solutions: {len(plan.examples)} inputs of {tokens:,} tokens with {steps:,} labelled steps, "
          f"mean target {mean:.3f}")  # fmt: skip
    print(
        f"{learnt:,} weights are trained, {plan.per_epoch} updates an epoch", *skip_notes(skips), sep="\n", flush=True
    )


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
