"""Fine-tune a generative judge on rows of prm/generative/make_data.py; prompts are masked.

`python prm/generative/finetune.py --model_path BASE --card NAME --train_data_path ROWS.jsonl`

--test_data_path takes labelled solutions (the common format), not rows: the judge is tested as it is used, for cards
without a rationale. The output folder is served by the LM workers and named with --RM. Exit status 2 for bad input.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import MISSING, dataclass
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from prm.training.arguments import add_training_options, shard_of
from prm.training.run import interrupted, learn, loading, plan_of, prepare, settings_of, to_resume
from reason.common.command import Parser
from reason.common.errors import UserError
from reason.common.options import add_options, check, option
from train.core.command import run_training
from train.core.processes import Processes

PROG = "finetune.py"


@dataclass(frozen=True)
class JudgeOptions:
    """What becomes a judge, and what it learns."""

    model_path: str = option(MISSING, "folder or hub id of the LM, or of an adapter over it", metavar="PATH")
    card: str = option(MISSING, "of the judge; its name, or a path to it", metavar="NAME")
    train_data_path: tuple[Path, ...] = option(MISSING, "rows of make_data.py", metavar="PATH")
    test_data_path: tuple[Path, ...] = option((), "labelled solutions; judged on in training", metavar="PATH")
    lora: bool = option(False, "train a LoRA adapter instead of all weights; it is merged at the end", switch=True)
    limit: int | None = option(None, "the first N rows", metavar="N", least=1)
    skip_bad_rows: bool = option(False, "leave out, and count, rows that cannot be read or learnt", switch=True)

    def __post_init__(self) -> None:
        check(self)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(p.add_argument_group("judge"), JudgeOptions, settled=True)
    add_training_options(p, "runs/judge", num_train_epochs=2.0, total_batch_size=64, learning_rate=1e-5)
    return p


def train(args: argparse.Namespace, processes: Processes) -> None:
    """Train and save. Raises UserError, RunError, OSError."""
    import torch

    from data.preprocess.common import STEP_TAG
    from prm.benchmarks.cases import Skips, sha256
    from prm.benchmarks.report import skip_notes
    from prm.generative import sft
    from prm.generative.make_data import judge_card
    from prm.training.rows import read_files

    card = judge_card(args.card)
    if card.rationale is not None and args.test_data_path:
        raise UserError("--test_data_path is for judges that answer at once; test this one with prm/evaluate.py --RM")
    if shard_of(args) and args.lora:
        raise UserError("weights in shards cannot merge an adapter into the model that is served: leave out --lora")
    if shard_of(args) and args.test_data_path:
        raise UserError("a test needs the judge's weights whole: leave out --test_data_path, or train without shards")
    device, processes = prepare(args, processes)
    skips = Skips(args.skip_bad_rows)
    rows = sft.read_rows(args.train_data_path, skips)[: args.limit]
    tests = read_files(args.test_data_path, [STEP_TAG], skips) if args.test_data_path else []
    settings = settings_of(args, train=sft.sha256(rows), test=sha256(tests))
    resumed = to_resume(args, settings)
    torch.manual_seed(args.seed)
    trainee = processes.in_turn(lambda: sft.load(args.model_path, card, **loading(args, not args.lora)))
    laid_out = sft.with_template(card, trainee.tokenizer)
    examples = sft.encode_all(rows, laid_out, trainee.tokenizer, skips)
    evaluation = None
    if tests:
        evaluation = sft.JudgeEvaluation.prepare(tests, laid_out, trainee.tokenizer, args.batch_tokens, skips)
    student = sft.JudgeStudent(trainee, card, evaluation, args.dtype == "bf16", args.save_dtype)
    plan = plan_of(examples, args, processes)
    if processes.first:
        print(plan.summary("rows"), *skip_notes(skips), sep="\n", flush=True)
    learn(student, plan, args, settings, resumed, device, processes, args.metric_for_best_model if tests else None)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)
    return run_training(PROG, lambda processes: train(args, processes), interrupted(args))


if __name__ == "__main__":
    sys.exit(main())
