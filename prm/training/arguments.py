"""The command line of the PRM trainers in prm/code, which differ in their card and their output folder alone."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from prm.training.losses import NAMES
from prm.training.targets import KINDS
from reason.common.command import Parser, positive
from reason.common.errors import UserError

DATASETS = {  # OpenR's names of mixtures of the files in --data_path
    "all": ("math_aps.json", "prm800k_train.json", "math_shepherd.json"),
    "both": ("math_aps.json", "prm800k_train.json"),
    "aps_shepherd": ("math_aps.json", "math_shepherd.json"),
    "aps": ("math_aps.json",),
}
TEST_FILE = "prm800k_test.json"


def parser(prog: str, description: str, card: str | None, output_dir: str) -> argparse.ArgumentParser:
    """All options; `card` and `output_dir` are the defaults of the entry point."""
    p = Parser(prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    a = p.add_argument_group("model").add_argument
    a("--model_path", required=True, metavar="PATH", help="folder or hub id of the base, or of an adapter over it")
    a("--card", default=card, metavar="NAME", help=f"of the PRM; default: {card or 'the one that lists the model'}")
    a("--head", choices=("two_class", "value"), help="read the card's scores from such a head instead of tokens")
    model_options(p)
    p.add_argument("--full", action="store_true", help="train all weights instead of a LoRA adapter")

    a = p.add_argument_group("data").add_argument
    path = {"type": Path, "metavar": "PATH"}
    a("--train_data_path", nargs="+", default=[], **path, help="files of the common format or of OpenR's")
    a("--test_data_path", nargs="+", default=[], **path, help="likewise; judged on in training")
    a("--data_path", **path, help=f"OpenR's folder of {', '.join(DATASETS['all'])} and {TEST_FILE}")
    a("--datasets", choices=DATASETS, default="all", help="which files of --data_path; default %(default)s")
    a("--step_tag", help="of OpenR's format; default: the card's, or five newlines")
    a("--limit", type=positive, metavar="N", help="the first N solutions of each file to train on")
    a("--skip_bad_rows", action="store_true", help="leave out, and count, rows that cannot be read or laid out")

    a = p.add_argument_group("what is learnt").add_argument
    a("--labels", choices=KINDS, default="hard", help="hard labels, soft ones (MC values), or the outcome alone: at "
      "the last step (orm) or at every step (ovm); default %(default)s")  # fmt: skip
    a("--loss", choices=NAMES, help="default: cross_entropy; mse for a value head without sigmoid")
    a("--wrong_weight", type=weight, default=1.0, metavar="X", help="a wrong step counts X times a right one, or "
      "`balanced`: both kinds count the same in sum; default %(default)s")  # fmt: skip
    a("--after_first_error", action="store_true", help="learn steps after the first wrong one too")

    training_options(p, output_dir)
    return p


def model_options(p: argparse.ArgumentParser) -> None:
    """How a base or an adapter is loaded, and what a new adapter is."""
    a = p.add_argument_group("adapters").add_argument
    a("--base_model", metavar="PATH", help="of an adapter; default: its card's")
    a("--trust_remote_code", action="store_true", help="run code that comes with the model")
    a("--lora_r", type=positive, default=8, help="rank; default %(default)s")
    a("--lora_alpha", type=positive, default=32, help="default %(default)s")
    a("--lora_dropout", type=share, default=0.1, help="default %(default)s")
    a("--lora_modules", nargs="+", default=["q_proj", "v_proj"], metavar="NAME", help="default: q_proj v_proj")


def training_options(p: argparse.ArgumentParser, output_dir: str) -> None:
    """The training loop and its folder."""
    a = p.add_argument_group("training").add_argument
    loop_options(a)
    a("--attention", default="sdpa", metavar="NAME", help="eager, sdpa or flash_attention_2; default %(default)s")
    a(
        "--deepspeed",
        type=Path,
        metavar="PATH",
        help="DeepSpeed's configuration, such as prm/training/deepspeed/zero2.json",
    )

    a = p.add_argument_group("output").add_argument
    a("--output_dir", type=Path, default=Path(output_dir), metavar="DIR", help="default %(default)s")
    checkpoint_options(a)
    a("--metric_for_best_model", choices=("auc", "f1"), default="auc", help="on the test data; default %(default)s")
    a("--save_dtype", choices=("fp32", "bf16"), help="of the finished model's weights; default: as they are trained")


def loop_options(a: Callable[..., object]) -> None:
    """The training loop of any model; `a` is the `add_argument` of the group to add to."""
    a("--num_train_epochs", type=number, default=3.0, metavar="N", help="default %(default)s")
    a("--total_batch_size", type=positive, default=256, help="solutions an update, in all; default %(default)s")
    a("--batch_tokens", type=positive, metavar="N", help="padded tokens of a forward pass; default by device")
    a("--per_device_train_batch_size", type=positive, metavar="N", help="at most N solutions in a forward pass")
    a("--learning_rate", type=number, default=1e-4, help="its peak; default %(default)s")
    a("--warmup_ratio", type=share, default=0.03, help="of the updates; default %(default)s")
    a("--weight_decay", type=share, default=0.01, help="default %(default)s")
    a("--max_grad_norm", type=number, default=1.0, help="default %(default)s")
    a("--dtype", choices=("fp32", "bf16"), help="of the arithmetic; weights that learn are fp32 either way; default: "
      "bf16 on a GPU, else fp32")  # fmt: skip
    a("--gradient_checkpointing", action="store_true", help="less memory, a third more time")
    a("--seed", type=int, default=42, help="default %(default)s")


def checkpoint_options(a: Callable[..., object]) -> None:
    """Checkpoints, and what is told on the way; `a` as of `loop_options`."""
    a("--resume", action="store_true", help="go on from the last checkpoint in --output_dir")
    a("--save_steps", type=positive, metavar="N", help="a checkpoint, and a test on test data, every N updates; "
      "default: every epoch")  # fmt: skip
    a("--save_total_limit", type=positive, default=2, metavar="N", help="checkpoints kept; default %(default)s")
    a("--logging_steps", type=positive, default=10, metavar="N", help="default %(default)s")


def number(text: str) -> float:
    """A number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return value


def share(text: str) -> float:
    """A number from 0 to below 1."""
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to below 1, not {text!r}")
    return value


def weight(text: str) -> float | str:
    """A number above 0, or `balanced`."""
    return text if text == "balanced" else number(text)


def check(args: argparse.Namespace) -> None:
    """Settle the data files, and refuse what does not fit together. Raises UserError."""
    if bool(args.train_data_path) == (args.data_path is not None):
        raise UserError("give the training data: files (--train_data_path), or OpenR's folder (--data_path)")
    if args.data_path is not None:
        args.train_data_path = [args.data_path / name for name in DATASETS[args.datasets]]
        if not args.test_data_path and (args.data_path / TEST_FILE).is_file():
            args.test_data_path = [args.data_path / TEST_FILE]
    for path in [*args.train_data_path, *args.test_data_path, *([args.deepspeed] if args.deepspeed else [])]:
        if not path.is_file():
            raise UserError(f"{path}: there is no such file")
    if args.after_first_error and args.labels in ("orm", "ovm"):
        raise UserError(f"--after_first_error is of hard and soft labels; {args.labels} learns the outcome")
