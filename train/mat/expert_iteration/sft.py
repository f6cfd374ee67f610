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

from prm.training.arguments import checkpoint_options, loop_options
from prm.training.command import exit_status, say
from prm.training.run import BATCH_TOKENS, learn, settings_of, to_resume, training_arguments
from reason.common.command import Parser, positive

ROWS_OF = "train.mat.expert_iteration.collect"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog="sft.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    loop_options(a)

    a = p.add_argument_group("output").add_argument
    a("--output_dir", type=Path, required=True, metavar="DIR", help="a plain Hugging Face model with its card")
    checkpoint_options(a)
    p.set_defaults(num_train_epochs=2.0, total_batch_size=64, learning_rate=1e-5, weight_decay=0.0, save_total_limit=1)
    p.set_defaults(deepspeed=None, save_dtype=None)  # of prm.training.run, and not here
    return p


def train(args: argparse.Namespace) -> None:
    """Train and save. Raises UserError, UserError, UserError, RunError, UserError, OSError."""
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
    return exit_status("sft.py", train, parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
