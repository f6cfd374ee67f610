"""From a command line to a trained PRM: read, lay out, train, save. The entry points in prm/code call `main`."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from prm.training.arguments import check, parser
from prm.training.command import exit_status, main_process, say
from reason.common.errors import UserError
from reason.evaluation import records

SETTINGS = "training.json"
BATCH_TOKENS = {"cpu": 1536, "cuda": 16384}
# May change when a training is resumed: they do not change what is learnt.
FREE = {"resume", "output_dir", "save_dtype", "batch_tokens", "per_device_train_batch_size", "logging_steps",
        "save_total_limit", "skip_bad_rows", "deepspeed", "gradient_checkpointing", "attention",
        "data_path"}  # fmt: skip


def main(card: str | None, output_dir: str, description: str, arguments: list[str] | None = None) -> int:
    """The command; `card` and `output_dir` are its defaults. Returns its exit status."""
    prog = Path(sys.argv[0]).name
    args = parser(prog, description, card, output_dir).parse_args(arguments)

    def tell(error: OSError) -> str:
        return f"{error.filename or args.output_dir}: {error.strerror or error}"

    return exit_status(prog, train, args, tell)


def train(args: argparse.Namespace) -> None:
    """Train and save. Raises UserError, UserError, UserError, RunError, UserError, OSError."""
    check(args)

    import torch
    from transformers.trainer_utils import get_last_checkpoint, set_seed
    from transformers.utils.logging import disable_progress_bar

    from prm.benchmarks.cases import Skips
    from prm.training import model as models
    from prm.training.evaluation import Evaluation
    from prm.training.examples import Weights, balanced, lay_out, weighted
    from prm.training.losses import choose
    from prm.training.plan import Plan
    from prm.training.progress import Progress
    from prm.training.rows import digest, read_files
    from prm.training.trainer import PrmTrainer, Task

    disable_progress_bar()  # of each loading and saving
    device = "cuda" if torch.cuda.is_available() else "cpu"
    args.dtype = args.dtype or ("bf16" if device == "cuda" else "fp32")
    args.batch_tokens = args.batch_tokens or BATCH_TOKENS[device]
    card = card_of(args)
    loss = choose(args.loss, card)
    if args.deepspeed and needs_merging(args, card):
        raise UserError("--deepspeed cannot merge an adapter into a model with a head of its own: give --full")
    skips = Skips(args.skip_bad_rows)
    tags = [args.step_tag or card.step_tag.strip()]
    cases = read_files(args.train_data_path, tags, skips, args.limit)
    tests = read_files(args.test_data_path, tags, skips)
    settings = settings_of(args, train=digest(cases), test=digest(tests))
    resumed = to_resume(args, settings, get_last_checkpoint)
    options = training_arguments(args, device, bool(tests))  # before the model: ZeRO-3 wants to know
    set_seed(args.seed)
    trainee = models.load(args.model_path, card, **loading(args))
    examples = lay_out(cases, trainee.layouter, args.labels, skips, args.after_first_error)
    weights = balanced(examples) if args.wrong_weight == "balanced" else Weights(1.0, args.wrong_weight)
    examples = weighted(examples, weights)
    evaluation = Evaluation.prepare(tests, trainee.layouter, args.batch_tokens, skips) if tests else None
    most = args.per_device_train_batch_size
    plan = Plan(examples, args.total_batch_size, args.batch_tokens, args.seed, options.world_size, most)
    describe(plan, trainee, len(cases), skips)
    trainer = PrmTrainer(trainee, Task(plan, loss, evaluation), options, callbacks=[Progress()])
    learn(trainer, args, settings, resumed, needs_merging(args, card))


def loading(args: argparse.Namespace) -> dict[str, Any]:
    """The options of prm.training.model.load."""
    import torch

    from prm.training.model import Lora

    lora = Lora(args.lora_r, args.lora_alpha, args.lora_dropout, tuple(args.lora_modules))
    return {
        "base_model": args.base_model,
        "lora": None if args.full else lora,
        "dtype": torch.bfloat16 if args.dtype == "bf16" and not args.full else torch.float32,
        "attention": args.attention,
        "gradient_checkpointing": args.gradient_checkpointing,
        "trust_remote_code": args.trust_remote_code,
    }


def learn(trainer: Any, args: argparse.Namespace, settings: dict[str, Any], resumed: str | None, merge: bool) -> None:
    """Train from the beginning or from a checkpoint; then the finished model is in --output_dir, with its card."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    if resumed:
        say(f"going on from {resumed}")
    elif main_process():
        args.output_dir.mkdir(parents=True, exist_ok=True)
        records.write_json(args.output_dir / SETTINGS, settings)
    trainer.train(resume_from_checkpoint=resumed)
    trainer.save_state()
    if args.deepspeed:
        trainer.save_model(str(args.output_dir))  # all processes: each has a part of the weights
    elif trainer.is_world_process_zero():
        trainer.finish(args.output_dir, merge, args.save_dtype)
    which = "the best" if trainer.task.evaluation else "the last"
    say(f"{which} model is in {args.output_dir}, with its card")


def card_of(args: argparse.Namespace) -> Any:
    """The card of what is trained. Raises UserError."""
    from prm.training.targets import OF_OUTCOMES
    from reason.model_cards import card as cards

    card = cards.find(args.model_path, "prm", args.card)
    assert isinstance(card, cards.PRMCard)
    if args.head is not None and args.head != card.head:
        card = dataclasses.replace(card, head=args.head, good="", bad="", head_weights=(), head_affine=(), head_file="")
    if args.labels in OF_OUTCOMES or (args.labels == "soft" and card.meaning == "correctness"):
        last = {"aggregation": "last"} if args.labels in OF_OUTCOMES else {}
        card = dataclasses.replace(card, meaning="value" if card.meaning == "correctness" else card.meaning, **last)
    return card


def needs_merging(args: argparse.Namespace, card: Any) -> bool:
    """Whether a LoRA adapter is saved as a whole model: over a base without its head it could not be served."""
    return not args.full and card.head != "token_logits"


def settings_of(args: argparse.Namespace, **data: str) -> dict[str, dict[str, Any]]:
    """What decides what is learnt, as plain data: arguments, and hashes of the data."""
    return {"arguments": {key: _plain(value) for key, value in vars(args).items()}, "data": data}


def to_resume(args: argparse.Namespace, settings: dict[str, Any], last_checkpoint: Any) -> str | None:
    """The checkpoint to go on from, if any. Raises UserError where the folder holds another training, or none."""
    folder = args.output_dir
    found = last_checkpoint(str(folder)) if folder.is_dir() else None
    if found and not args.resume:
        raise UserError(f"{folder} holds a training already: --resume goes on with it, or give another --output_dir")
    if args.resume and not found:
        raise UserError(f"{folder} holds no checkpoint to resume from")
    if found:
        where = folder / SETTINGS
        difference = records.first_difference(records.read_json(where), settings, FREE, ("arguments", "data"))
        if difference:
            raise UserError(f"{where}: {difference}; give the training's own value, or another --output_dir")
    return found


def training_arguments(args: argparse.Namespace, device: str, tests: bool) -> Any:
    """The Trainer's options."""
    from transformers import TrainingArguments

    if args.deepspeed and find_spec("deepspeed") is None:
        raise UserError("--deepspeed needs deepspeed: pip install deepspeed")
    every = {"save_strategy": "steps", "save_steps": args.save_steps} if args.save_steps else {"save_strategy": "epoch"}
    if tests:
        every |= {"eval_strategy": every["save_strategy"], "eval_steps": args.save_steps}
        every |= {"load_best_model_at_end": True, "metric_for_best_model": args.metric_for_best_model}
    options = TrainingArguments(
        output_dir=str(args.output_dir),
        num_train_epochs=args.num_train_epochs,
        learning_rate=args.learning_rate,
        warmup_steps=args.warmup_ratio,
        weight_decay=args.weight_decay,
        max_grad_norm=args.max_grad_norm,
        bf16=args.dtype == "bf16",
        use_cpu=device == "cpu",
        ddp_backend="gloo" if device == "cpu" and int(os.environ.get("WORLD_SIZE", "1")) > 1 else None,
        ddp_find_unused_parameters=False,
        deepspeed=str(args.deepspeed) if args.deepspeed else None,
        save_total_limit=args.save_total_limit,
        logging_steps=args.logging_steps,
        logging_nan_inf_filter=False,
        disable_tqdm=True,  # Progress writes instead
        report_to=["tensorboard"] if find_spec("tensorboard") else [],
        seed=args.seed,
        dataloader_pin_memory=False,
        use_cache=True,  # of the saved configuration: who serves it wants a cache; training passes use none
        greater_is_better=True if tests else None,
        **every,
    )
    if args.deepspeed and options.world_size > 1:
        import deepspeed

        deepspeed.init_distributed()  # ZeRO-3 divides the weights as they are loaded, and must know among how many
    return options


def describe(plan: Any, trainee: Any, solutions: int, skips: Any) -> None:
    """What is trained on what."""
    from prm.benchmarks.report import skip_notes

    steps = sum(len(e.targets) for e in plan.examples)
    mean = sum(t for e in plan.examples for t in e.targets) / steps
    tokens = sum(len(e.ids) for e in plan.examples)
    parameters = [p for p in trainee.margins.parameters() if p.requires_grad]
    say(f"{solutions} solutions: {len(plan.examples)} inputs of {tokens:,} tokens with {steps:,} labelled steps, "
        f"mean target {mean:.3f}")  # fmt: skip
    say(f"{sum(p.numel() for p in parameters):,} weights are trained, {plan.per_epoch} updates an epoch")
    for note in skip_notes(skips):
        say(note)


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
