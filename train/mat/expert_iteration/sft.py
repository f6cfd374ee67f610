"""Fine-tune a policy on solutions (lines of collect.py), prompts masked; the folder is served by the LM workers.

`python -m train.mat.expert_iteration.sft --model_path FOLDER --data FILE.jsonl --output_dir FOLDER`

Updates are of a fixed number of solutions in forward passes of like length and a bounded number of tokens, the same on
any number of processes (torchrun), resumed to the same losses. Exit status 2 for bad input, one line on stderr.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import MISSING, dataclass
from pathlib import Path

from prm.training.run import BATCH_TOKENS, interrupted, learn, plan_of, settings_of, to_resume
from reason.common.command import Parser
from reason.common.options import add_options, check, option
from train.core.command import arithmetic_of, run_training, take_device
from train.core.options import CheckpointOptions, LoopOptions
from train.core.processes import Processes

PROG, ROWS_OF = "sft.py", "train.mat.expert_iteration.collect"
CHANGED = {  # defaults of this command
    "num_train_epochs": 2.0, "total_batch_size": 64, "learning_rate": 1e-5, "weight_decay": 0.0, "save_total_limit": 1,
}  # fmt: skip


@dataclass(frozen=True)
class SftOptions:
    """The policy, and what it learns."""

    model_path: str = option(MISSING, "folder or hub id of the policy", metavar="PATH")
    data: tuple[Path, ...] = option(MISSING, "lines of collect.py", metavar="FILE")
    output_dir: Path = option(MISSING, "a plain Hugging Face model with its card", metavar="DIR")
    card: str | None = option(None, "its card, where its folder or name does not tell", metavar="NAME")
    limit: int | None = option(None, "the first N lines", metavar="N", least=1)
    skip_bad_rows: bool = option(False, "leave out, and count, lines that cannot be read or learnt", switch=True)
    lora_r: int | None = option(
        None, "train an adapter of this rank, merged at the end; default: all weights", metavar="R", least=1
    )
    lora_alpha: int = option(32, "the adapter's output is scaled by this / rank", least=1)
    lora_modules: tuple[str, ...] | None = option(
        None, "layers that get an adapter; default: all projections", metavar="NAME"
    )
    trust_remote_code: bool = option(False, "run code that comes with the model", switch=True)

    def __post_init__(self) -> None:
        check(self)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for title, options in (("policy", SftOptions), ("training", LoopOptions), ("checkpoints", CheckpointOptions)):
        add_options(p.add_argument_group(title), options, settled=True, changed=CHANGED)
    p.set_defaults(deepspeed=None, save_dtype=None)  # what the settings of older trainings hold
    return p


def train(args: argparse.Namespace, processes: Processes) -> None:
    """Train and save. Raises UserError, RunError, OSError."""
    import torch

    from prm.benchmarks.cases import Skips
    from prm.benchmarks.report import skip_notes
    from prm.generative.sft import read_rows, sha256
    from reason.inference.base import Sampling
    from train.mat.agents import policy as policies
    from train.mat.expert_iteration.student import SolutionStudent, encode_all

    device = take_device()
    args.dtype = arithmetic_of(args.dtype, device)
    args.batch_tokens = args.batch_tokens or BATCH_TOKENS[device]
    skips = Skips(args.skip_bad_rows)
    rows = read_rows(args.data, skips, ROWS_OF)[: args.limit]
    settings = settings_of(args, train=sha256(rows))
    resumed = to_resume(args, settings)
    torch.manual_seed(args.seed)
    policy = policies.load(
        args.model_path, args.card, Sampling(), device, args.dtype, policies.lora_of(args),
        gradient_checkpointing=args.gradient_checkpointing, trust_remote_code=args.trust_remote_code,
        card_flag="--card",
    )  # fmt: skip
    plan = plan_of(encode_all(rows, policy, skips), args, processes)
    if processes.first:
        print(plan.summary("solutions"), *skip_notes(skips), sep="\n", flush=True)
    learn(SolutionStudent(policy), plan, args, settings, resumed, device, processes, None)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)
    return run_training(PROG, lambda processes: train(args, processes), interrupted(args))


if __name__ == "__main__":
    sys.exit(main())
