"""Fine-tune a generative judge on rows of prm/generative/make_data.py; prompts are masked.

`python prm/generative/finetune.py --model_path BASE --card NAME --train_data_path ROWS.jsonl`

--test_data_path takes labelled solutions (the common format), not rows: the judge is tested as it is used, for cards
without a rationale. The output folder is served by the LM workers and named with --RM. Exit status 2 for bad input.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from prm.training.arguments import number, share
from prm.training.run import BATCH_TOKENS, SETTINGS, main_process, say, settings_of, to_resume, training_arguments
from reason.evaluation.arguments import BadInput, OneLineParser, positive


def parser() -> argparse.ArgumentParser:
    """The command line: that of prm/code without what is of discriminative PRMs alone."""
    p = OneLineParser(
        prog="finetune.py", description=__doc__, allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    a, path = p.add_argument, {"type": Path, "metavar": "PATH"}
    a("--model_path", required=True, metavar="PATH", help="folder or hub id of the LM, or of an adapter over it")
    a("--card", required=True, metavar="NAME", help="of the judge; its name, or a path to it")
    a("--base_model", metavar="PATH", help="of an adapter")
    a("--trust_remote_code", action="store_true", help="run code that comes with the model")
    a("--lora", action="store_true", help="train a LoRA adapter instead of all weights; it is merged at the end")
    a("--lora_r", type=positive, default=8, help="rank; default %(default)s")
    a("--lora_alpha", type=positive, default=32, help="default %(default)s")
    a("--lora_dropout", type=share, default=0.1, help="default %(default)s")
    a("--lora_modules", nargs="+", default=["q_proj", "v_proj"], metavar="NAME", help="default: q_proj v_proj")
    a("--train_data_path", nargs="+", required=True, **path, help="rows of make_data.py")
    a("--test_data_path", nargs="+", default=[], **path, help="labelled solutions; judged on in training")
    a("--limit", type=positive, metavar="N", help="the first N rows")
    a("--skip_bad_rows", action="store_true", help="leave out, and count, rows that cannot be read or learnt")
    a("--num_train_epochs", type=number, default=2.0, metavar="N", help="default %(default)s")
    a("--total_batch_size", type=positive, default=64, help="rows an update, on all processes; default %(default)s")
    a("--batch_tokens", type=positive, metavar="N", help="padded tokens of a forward pass; default by device")
    a("--learning_rate", type=number, default=1e-5, help="its peak; default %(default)s")
    a("--warmup_ratio", type=share, default=0.03, help="of the updates; default %(default)s")
    a("--weight_decay", type=share, default=0.01, help="default %(default)s")
    a("--max_grad_norm", type=number, default=1.0, help="default %(default)s")
    a("--dtype", choices=("fp32", "bf16"), help="of the arithmetic; default: bf16 on a GPU, else fp32")
    a("--attention", metavar="NAME", help="eager, sdpa, flash_attention_2; default: sdpa on a GPU, else eager")
    a("--gradient_checkpointing", action="store_true", help="less memory, a third more time")
    a("--deepspeed", **path, help="DeepSpeed's configuration, such as prm/training/deepspeed/zero2.json")
    a("--seed", type=int, default=42, help="default %(default)s")
    a("--output_dir", type=Path, default=Path("runs/judge"), metavar="DIR", help="default %(default)s")
    a("--resume", action="store_true", help="go on from the last checkpoint in --output_dir")
    a("--save_steps", type=positive, metavar="N", help="a checkpoint and a test every N updates; default: every epoch")
    a("--save_total_limit", type=positive, default=2, metavar="N", help="checkpoints kept; default %(default)s")
    a("--metric_for_best_model", choices=("auc", "f1"), default="auc", help="on the test data; default %(default)s")
    a("--logging_steps", type=positive, default=10, metavar="N", help="default %(default)s")
    return p


def train(args: argparse.Namespace) -> None:
    """Train and save. Raises BadInput, CardError, DataError, TrainingError, OSError."""
    import torch
    from transformers import PrinterCallback
    from transformers.trainer_utils import get_last_checkpoint, set_seed

    from data.preprocess.common import STEP_TAG
    from prm.benchmarks.cases import Skips, sha256
    from prm.benchmarks.report import skip_notes
    from prm.generative import sft
    from prm.generative.make_data import judge_card
    from prm.training import model as models
    from prm.training.plan import Plan
    from prm.training.progress import Progress
    from prm.training.rows import read_files
    from prm.training.trainer import Task

    card = judge_card(args.card)
    if card.rationale is not None and args.test_data_path:
        raise BadInput("--test_data_path is for judges that answer at once; test this one with prm/evaluate.py --RM")
    if args.deepspeed and args.lora:
        raise BadInput("--deepspeed cannot merge an adapter into the model that is served: leave out --lora")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    args.dtype = args.dtype or ("bf16" if device == "cuda" else "fp32")
    args.batch_tokens = args.batch_tokens or BATCH_TOKENS[device]
    skips = Skips(args.skip_bad_rows)
    rows = sft.read_rows(args.train_data_path, skips)[: args.limit]
    tests = read_files(args.test_data_path, [STEP_TAG], skips) if args.test_data_path else []
    settings = settings_of(args) | {"data": {"train": sft.sha256(rows), "test": sha256(tests)}}
    resumed = to_resume(args, settings, get_last_checkpoint)
    options = training_arguments(args, device, bool(tests))
    set_seed(args.seed)
    lora = models.Lora(args.lora_r, args.lora_alpha, args.lora_dropout, tuple(args.lora_modules))
    trainee = sft.load(
        args.model_path, card, base_model=args.base_model, lora=lora if args.lora else None,
        dtype=torch.bfloat16 if args.dtype == "bf16" and args.lora else torch.float32,
        attention=args.attention or ("sdpa" if device == "cuda" else "eager"),
        gradient_checkpointing=args.gradient_checkpointing, trust_remote_code=args.trust_remote_code,
    )  # fmt: skip
    laid_out = sft.with_template(card, trainee.tokenizer)
    examples = sft.encode_all(rows, laid_out, trainee.tokenizer, skips)
    evaluation = None
    if tests:
        evaluation = sft.JudgeEvaluation.prepare(tests, laid_out, trainee.tokenizer, args.batch_tokens, skips)
    plan = Plan(examples, args.total_batch_size, args.batch_tokens, args.seed, options.world_size)
    learnt = sum(len(e.targets) for e in examples)
    say(f"{len(examples):,} rows of {sum(len(e.ids) for e in examples):,} tokens, of which {learnt:,} are learnt; "
        f"{plan.per_epoch} updates an epoch")  # fmt: skip
    for note in skip_notes(skips):
        say(note)
    task = Task(plan, "cross_entropy", evaluation)
    trainer = sft.JudgeTrainer(trainee, card, task, options, callbacks=[Progress()])
    trainer.remove_callback(PrinterCallback)
    if not resumed and main_process():
        args.output_dir.mkdir(parents=True, exist_ok=True)
        (args.output_dir / SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    trainer.train(resume_from_checkpoint=resumed)
    trainer.save_state()
    if args.deepspeed:
        trainer.save_model(str(args.output_dir))  # all processes: each has a part of the weights
    elif trainer.is_world_process_zero():
        models.save(trainee, args.output_dir, merge=True)
        sft.save_card(args.output_dir, card)
    say(f"{'the best' if tests else 'the last'} model is in {args.output_dir}, with its card")


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)

    from data.preprocess.rows import DataError
    from prm.training.trainer import TrainingError
    from reason.model_cards.card import CardError

    try:
        train(args)
    except (BadInput, CardError, DataError, TrainingError, OSError) as error:
        say(f"finetune.py: {' '.join(str(error).split())}", sys.stderr)
        return 2
    except KeyboardInterrupt:
        say(f"finetune.py: interrupted; --resume goes on from the last checkpoint in {args.output_dir}", sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
