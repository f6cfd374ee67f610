"""Fine-tune a policy on solutions (lines of collect.py), prompts masked; the folder is served by the LM workers.

`python -m train.mat.expert_iteration.sft --model_path FOLDER --data FILE.jsonl --output_dir FOLDER`

The trainer is that of prm/training: updates of a fixed number of solutions in forward passes of like length and a
bounded number of tokens, the same on any number of processes (torchrun), resumed to the same losses. Exit status 2 for
bad input, one line on stderr.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):  # run as a file
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from prm.training.arguments import number, share
from prm.training.run import BATCH_TOKENS, learn, say, settings_of, to_resume, training_arguments
from reason.evaluation.arguments import BadInput, OneLineParser, positive

ROWS_OF = "train.mat.expert_iteration.collect"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = OneLineParser(prog="sft.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a = p.add_argument_group("model and data").add_argument
    a("--model_path", required=True, metavar="PATH", help="folder or hub id of the policy")
    a("--card", metavar="NAME", help="its card, where its folder or name does not tell")
    a("--data", nargs="+", type=Path, required=True, metavar="FILE", help="lines of collect.py")
    a("--limit", type=positive, metavar="N", help="the first N lines")
    a("--skip_bad_rows", action="store_true", help="leave out, and count, lines that cannot be read or learnt")
    a("--lora_r", type=positive, metavar="R", help="train an adapter of this rank, merged at the end; default: all "
      "weights")  # fmt: skip
    a("--lora_alpha", type=positive, default=32, help="default %(default)s")
    a("--lora_modules", nargs="+", metavar="NAME", help="layers that get an adapter; default: all projections")
    a("--trust_remote_code", action="store_true", help="run code that comes with the model")

    a = p.add_argument_group("training").add_argument
    a("--num_train_epochs", type=number, default=2.0, metavar="N", help="default %(default)s")
    a("--total_batch_size", type=positive, default=64, help="solutions an update, in all; default %(default)s")
    a("--batch_tokens", type=positive, metavar="N", help="padded tokens of a forward pass; default by device")
    a("--per_device_train_batch_size", type=positive, metavar="N", help="at most N solutions in a forward pass")
    a("--learning_rate", type=number, default=1e-5, help="its peak; default %(default)s")
    a("--warmup_ratio", type=share, default=0.03, help="of the updates; default %(default)s")
    a("--weight_decay", type=share, default=0.0, help="default %(default)s")
    a("--max_grad_norm", type=number, default=1.0, help="default %(default)s")
    a("--dtype", choices=("fp32", "bf16"), help="of the arithmetic; weights that learn are fp32 either way; default: "
      "bf16 on a GPU, else fp32")  # fmt: skip
    a("--gradient_checkpointing", action="store_true", help="less memory, a third more time")
    a("--seed", type=int, default=42, help="default %(default)s")

    a = p.add_argument_group("output").add_argument
    a("--output_dir", type=Path, required=True, metavar="DIR", help="a plain Hugging Face model with its card")
    a("--resume", action="store_true", help="go on from the last checkpoint in --output_dir")
    a("--save_steps", type=positive, metavar="N", help="a checkpoint every N updates; default: every epoch")
    a("--save_total_limit", type=positive, default=1, metavar="N", help="checkpoints kept; default %(default)s")
    a("--logging_steps", type=positive, default=10, metavar="N", help="default %(default)s")
    p.set_defaults(deepspeed=None, save_dtype=None)  # of prm.training.run, and not here
    return p


def train(args: argparse.Namespace) -> None:
    """Train and save. Raises BadInput, CardError, DataError, TrainingError, OSError."""
    import torch
    from transformers.trainer_utils import get_last_checkpoint, set_seed

    from prm.benchmarks.cases import Skips
    from prm.benchmarks.report import skip_notes
    from prm.generative.sft import read_rows, sha256
    from prm.training.plan import Plan
    from prm.training.progress import Progress
    from reason.inference.base import Sampling
    from train.mat.agents import policy as policies
    from train.mat.expert_iteration.trainer import SolutionTrainer, encode_all

    device = "cuda" if torch.cuda.is_available() else "cpu"
    args.dtype = args.dtype or ("bf16" if device == "cuda" else "fp32")
    args.batch_tokens = args.batch_tokens or BATCH_TOKENS[device]
    skips = Skips(args.skip_bad_rows)
    rows = read_rows(args.data, skips, ROWS_OF)[: args.limit]
    settings = settings_of(args, train=sha256(rows))
    resumed = to_resume(args, settings, get_last_checkpoint)
    options = training_arguments(args, device, tests=False)
    set_seed(args.seed)
    lora = None
    if args.lora_r:
        modules = tuple(args.lora_modules) if args.lora_modules else policies.LoraOptions.modules
        lora = policies.LoraOptions(args.lora_r, args.lora_alpha, modules)
    policy = policies.load(
        args.model_path, args.card, Sampling(), device, args.dtype, lora,
        gradient_checkpointing=args.gradient_checkpointing, trust_remote_code=args.trust_remote_code,
        card_flag="--card",
    )  # fmt: skip
    examples = encode_all(rows, policy, skips)
    most = args.per_device_train_batch_size
    plan = Plan(examples, args.total_batch_size, args.batch_tokens, args.seed, options.world_size, most)
    learnt = sum(len(e.targets) for e in examples)
    say(f"{len(examples):,} solutions of {sum(len(e.ids) for e in examples):,} tokens, of which {learnt:,} are learnt; "
        f"{plan.per_epoch} updates an epoch")  # fmt: skip
    for note in skip_notes(skips):
        say(note)
    trainer = SolutionTrainer(policy, plan, options, callbacks=[Progress()])
    learn(trainer, args, settings, resumed, merge=True)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)

    from data.preprocess.rows import DataError
    from prm.training.trainer import TrainingError
    from reason.evaluation.records import RecordError
    from reason.model_cards.card import CardError

    try:
        train(args)
    except (BadInput, CardError, DataError, RecordError, TrainingError, OSError) as error:
        say(f"sft.py: {' '.join(str(error).split())}", sys.stderr)
        return 2
    except KeyboardInterrupt:
        say(f"sft.py: interrupted; --resume goes on from the last checkpoint in {args.output_dir}", sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
