"""The options of the PRM trainers in prm/code, which differ in their card and their output folder alone.

Imports nothing heavy.
"""

from __future__ import annotations

import argparse
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from prm.training.losses import NAMES
from prm.training.targets import KINDS
from reason.common.command import Parser
from reason.common.errors import UserError
from reason.common.files import read_json
from reason.common.options import add_options, check, option
from train.core.options import SHARDS, CheckpointOptions, LoopOptions

DATASETS = {  # OpenR's names of mixtures of the files in --data_path
    "all": ("math_aps.json", "prm800k_train.json", "math_shepherd.json"),
    "both": ("math_aps.json", "prm800k_train.json"),
    "aps_shepherd": ("math_aps.json", "math_shepherd.json"),
    "aps": ("math_aps.json",),
}
TEST_FILE = "prm800k_test.json"


def _weight(text: str) -> float | str:
    """A number above 0, or `balanced`."""
    if text == "balanced":
        return text
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, or balanced, not {text!r}")
    return value


@dataclass(frozen=True)
class PrmModel:
    """What becomes a PRM."""

    model_path: str = option(MISSING, "folder or hub id of the base, or of an adapter over it", metavar="PATH")
    card: str | None = option(None, "of the PRM; default: the one that lists the model", metavar="NAME")
    head: str | None = option(
        None, "read the card's scores from such a head instead of tokens", choices=("two_class", "value")
    )
    full: bool = option(False, "train all weights instead of a LoRA adapter", switch=True)


@dataclass(frozen=True)
class Adapter:
    """How a base or an adapter is loaded, and what a new adapter is (Hu et al., 2022); the defaults are OpenR's."""

    base_model: str | None = option(None, "of an adapter; default: its card's", metavar="PATH")
    trust_remote_code: bool = option(False, "run code that comes with the model", switch=True)
    lora_r: int = option(8, "rank", least=1)
    lora_alpha: int = option(32, "its output is scaled by this / rank", least=1)
    lora_dropout: float = option(0.1, "of its input", least=0, below=1)
    lora_modules: tuple[str, ...] = option(("q_proj", "v_proj"), "layers that get an adapter", metavar="NAME")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class PrmData:
    """The labelled solutions."""

    train_data_path: tuple[Path, ...] = option((), "files of the common format or of OpenR's", metavar="PATH")
    test_data_path: tuple[Path, ...] = option((), "likewise; judged on in training", metavar="PATH")
    data_path: Path | None = option(
        None, f"OpenR's folder of {', '.join(DATASETS['all'])} and {TEST_FILE}", metavar="PATH"
    )
    datasets: str = option("all", "which files of --data_path", choices=tuple(DATASETS))
    step_tag: str | None = option(None, "of OpenR's format; default: the card's, or five newlines")
    limit: int | None = option(None, "the first N solutions of each file to train on", metavar="N", least=1)
    skip_bad_rows: bool = option(False, "leave out, and count, rows that cannot be read or laid out", switch=True)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Supervision:
    """What is learnt."""

    labels: str = option(
        "hard",
        "hard labels, soft ones (MC values), or the outcome alone: at the last step (orm) or at every step (ovm)",
        choices=tuple(KINDS),
    )
    loss: str | None = option(None, "default: cross_entropy; mse for a value head without sigmoid", choices=NAMES)
    wrong_weight: float | str = option(
        1.0, "a wrong step counts X times a right one, or `balanced`: both kinds count the same in sum", metavar="X",
        reads=_weight,
    )  # fmt: skip
    after_first_error: bool = option(False, "learn steps after the first wrong one too", switch=True)


@dataclass(frozen=True)
class Hardware:
    """How the work is laid out."""

    attention: str = option("sdpa", "eager, sdpa or flash_attention_2", metavar="NAME")
    shard: str | None = option(
        None,
        "share what learns out to the processes of torchrun: gradients and optimizer (ZeRO-2), or weights, too "
        "(ZeRO-3); default: each has all of it; see train/core/sharding.py",
        choices=SHARDS,
    )
    deepspeed: Path | None = option(
        None, "a DeepSpeed configuration, such as prm/training/deepspeed/zero2.json: its ZeRO stage, as --shard",
        metavar="PATH",
    )  # fmt: skip


@dataclass(frozen=True)
class Output:
    """The finished model."""

    output_dir: Path = option(MISSING, "folder of the finished model and of checkpoints", metavar="DIR")
    metric_for_best_model: str = option("auc", "on the test data", choices=("auc", "f1"))
    save_dtype: str | None = option(
        None, "of the finished model's weights; default: as they are trained", choices=("fp32", "bf16")
    )


def parser(prog: str, description: str, card: str | None, output_dir: str) -> argparse.ArgumentParser:
    """All options; `card` and `output_dir` are the defaults of the entry point."""
    p = Parser(prog=prog, description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    for title, options in (("model", PrmModel), ("data", PrmData), ("what is learnt", Supervision)):
        add_options(p.add_argument_group(title), options, settled=True, changed={"card": card})
    add_training_options(p, output_dir)
    return p


def add_training_options(p: argparse.ArgumentParser, output_dir: str, **changed: Any) -> None:
    """The options that PRMs and judges share; `changed` are defaults of the command."""
    groups = {
        "adapters": (Adapter,), "training": (LoopOptions, Hardware), "output": (Output, CheckpointOptions),
    }  # fmt: skip
    for title, classes in groups.items():
        group = p.add_argument_group(title)
        for options in classes:
            add_options(group, options, settled=True, changed=changed | {"output_dir": Path(output_dir)})


def check_arguments(args: argparse.Namespace) -> None:
    """Settle the data files, and refuse what does not fit together. Raises UserError."""
    if bool(args.train_data_path) == (args.data_path is not None):
        raise UserError("give the training data: files (--train_data_path), or OpenR's folder (--data_path)")
    if args.data_path is not None:
        args.train_data_path = [args.data_path / name for name in DATASETS[args.datasets]]
        if not args.test_data_path and (args.data_path / TEST_FILE).is_file():
            args.test_data_path = [args.data_path / TEST_FILE]
    for path in [*args.train_data_path, *args.test_data_path]:
        if not path.is_file():
            raise UserError(f"{path}: there is no such file")
    if args.after_first_error and args.labels in ("orm", "ovm"):
        raise UserError(f"--after_first_error is of hard and soft labels; {args.labels} learns the outcome")


def shard_of(args: argparse.Namespace) -> str | None:
    """What --shard says, or the ZeRO stage in --deepspeed. Raises UserError."""
    if args.deepspeed is None:
        return args.shard
    content = read_json(args.deepspeed)
    zero = content.get("zero_optimization", {}) if isinstance(content, dict) else {}
    stage = zero.get("stage") if isinstance(zero, dict) else None
    if stage not in (2, 3):
        raise UserError(f"--deepspeed {args.deepspeed}: zero_optimization needs stage 2 or 3, not {stage!r}")
    for name in ("offload_optimizer", "offload_param"):
        if zero.get(name, {}).get("device", "none") != "none":
            raise UserError(f"--deepspeed {args.deepspeed}: {name} is not supported; start more processes instead")
    return SHARDS[stage - 2]
