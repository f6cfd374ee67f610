"""Fine-tune a generative judge on rows of prm/generative/make_data.py; prompts are masked.

`python prm/generative/finetune.py --model_path BASE --card NAME --train_data_path ROWS.jsonl`

--test_data_path takes labelled solutions (the common format), not rows: the judge is tested as it is used, for cards
without a rationale. The output folder is served by the LM workers and named with --RM. Exit status 2 for bad input.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from prm.training.arguments import model_options, training_options
from prm.training.command import exit_status, say
from prm.training.run import BATCH_TOKENS, learn, loading, settings_of, to_resume, training_arguments
from reason.common.command import Parser, positive
from reason.common.errors import UserError


def parser() -> argparse.ArgumentParser:
    """The command line: that of prm/code without what is of discriminative PRMs alone."""
    p = Parser(
        prog="finetune.py", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    a, path = p.add_argument, {"type": Path, "metavar": "PATH"}
    a("--model_path", required=True, metavar="PATH", help="folder or hub id of the LM, or of an adapter over it")
    a("--card", required=True, metavar="NAME", help="of the judge; its name, or a path to it")
    a("--lora", action="store_true", help="train a LoRA adapter instead of all weights; it is merged at the end")
    a("--train_data_path", nargs="+", required=True, **path, help="rows of make_data.py")
    a("--test_data_path", nargs="+", default=[], **path, help="labelled solutions; judged on in training")
    a("--limit", type=positive, metavar="N", help="the first N rows")
    a("--skip_bad_rows", action="store_true", help="leave out, and count, rows that cannot be read or learnt")
    model_options(p)
    training_options(p, "runs/judge")
    p.set_defaults(num_train_epochs=2.0, total_batch_size=64, learning_rate=1e-5)
    return p


def train(args: argparse.Namespace) -> None:
    """Train and save. Raises UserError, RunError, UserError, OSError."""
    import torch
    from transformers.trainer_utils import get_last_checkpoint, set_seed

    from data.preprocess.common import STEP_TAG
    from prm.benchmarks.cases import Skips, sha256
    from prm.benchmarks.report import skip_notes
    from prm.generative import sft
    from prm.generative.make_data import judge_card
    from prm.training.plan import Plan
    from prm.training.progress import Progress
    from prm.training.rows import read_files
    from prm.training.trainer import Task

    card = judge_card(args.card)
    if card.rationale is not None and args.test_data_path:
        raise UserError("--test_data_path is for judges that answer at once; test this one with prm/evaluate.py --RM")
    if args.deepspeed and args.lora:
        raise UserError("--deepspeed cannot merge an adapter into the model that is served: leave out --lora")
    if args.deepspeed and args.test_data_path and '"stage": 3' in args.deepspeed.read_text(encoding="utf-8"):
        raise UserError(
            "ZeRO-3 divides the weights that a test needs whole: use stage 2, or leave out --test_data_path"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    args.dtype = args.dtype or ("bf16" if device == "cuda" else "fp32")
    args.batch_tokens = args.batch_tokens or BATCH_TOKENS[device]
    skips = Skips(args.skip_bad_rows)
    rows = sft.read_rows(args.train_data_path, skips)[: args.limit]
    tests = read_files(args.test_data_path, [STEP_TAG], skips) if args.test_data_path else []
    settings = settings_of(args, train=sft.sha256(rows), test=sha256(tests))
    resumed = to_resume(args, settings, get_last_checkpoint)
    options = training_arguments(args, device, bool(tests))
    set_seed(args.seed)
    args.full = not args.lora
    trainee = sft.load(args.model_path, card, **loading(args))
    laid_out = sft.with_template(card, trainee.tokenizer)
    examples = sft.encode_all(rows, laid_out, trainee.tokenizer, skips)
    evaluation = None
    if tests:
        evaluation = sft.JudgeEvaluation.prepare(tests, laid_out, trainee.tokenizer, args.batch_tokens, skips)
    most = args.per_device_train_batch_size
    plan = Plan(examples, args.total_batch_size, args.batch_tokens, args.seed, options.world_size, most)
    learnt = sum(len(e.targets) for e in examples)
    say(f"{len(examples):,} rows of {sum(len(e.ids) for e in examples):,} tokens, of which {learnt:,} are learnt; "
        f"{plan.per_epoch} updates an epoch")  # fmt: skip
    for note in skip_notes(skips):
        say(note)
    task = Task(plan, "cross_entropy", evaluation)
    trainer = sft.JudgeTrainer(trainee, card, task, options, callbacks=[Progress()])
    learn(trainer, args, settings, resumed, merge=True)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return exit_status("finetune.py", train, parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
