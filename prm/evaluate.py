"""Judge a PRM: `python prm/evaluate.py BENCHMARK ... (--RM NAME | --model_path FOLDER) --out DIR`.

processbench   does it find the first wrong step (Zheng et al., 2024)? --data_path FOLDER, or the hub
prm800k        AUC, accuracy and calibration on labelled steps, of files in data/preprocess's common format
best_of_n      how well would a finished best-of-N run have voted with it? Curves over N
arithmetic     against the exact truth: samples of the arithmetic task from --run or --data_path

The PRM is a served one (--RM NAME), a folder or hub id that is loaded here (--model_path), or, where the task has one,
the oracle. DIR gets result.json, table.md, scores.jsonl and plots. Exit status 0, or 2 for bad input (one line).
"""

from __future__ import annotations

import argparse
import importlib
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from reason.common.command import Parser, positive, run_command
from reason.common.errors import UserError

PROG = "evaluate.py"


def parser() -> Parser:
    """The command line: one sub-command a benchmark, with the options that all share."""
    p = Parser(prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    benchmarks = p.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    data: dict[str, Any] = {"type": Path, "metavar": "PATH"}

    a = _benchmark(benchmarks, "processbench", "F1 of the first error, by subset")
    a("--data_path", nargs="+", **data, help="ProcessBench's files, or folders of them; default: the hub")
    a("--subsets", nargs="+", metavar="NAME", help="of gsm8k, math, olympiadbench, omnimath, or of the files' names")
    a("--limit", type=positive, metavar="N", help="the first N solutions of each subset")

    a = _benchmark(benchmarks, "prm800k", "labelled steps in the common format")
    a("--data_path", nargs="+", required=True, **data, help="files of the common format; each is a row of the table")
    a("--limit", type=positive, metavar="N", help="the first N solutions of each file")

    a = _benchmark(benchmarks, "best_of_n", "curves over a finished run", own_thresholds=False)
    a("run", type=Path, metavar="RUN_DIR", help="the folder of a best_of_n run of reason/evaluation/evaluate.py")
    a("--seed", type=int, default=0, help="of the subsets of samples; default %(default)s")

    a = _benchmark(benchmarks, "arithmetic", "samples judged by the oracle", source=True)
    a("--limit", type=positive, metavar="N", help="the first N questions")
    a("--per_problem", type=positive, default=4, metavar="N", help="solutions a question; default %(default)s")
    return p


def _benchmark(
    benchmarks: Any, name: str, text: str, own_thresholds: bool = True, source: bool = False
) -> Callable[..., argparse.Action]:
    """The `add_argument` of a new sub-command that has the shared options."""
    p = benchmarks.add_parser(name, help=text, description=text)
    if source:
        samples = p.add_mutually_exclusive_group(required=True)
        samples.add_argument("--run", type=Path, metavar="RUN_DIR", help="samples of a run of evaluate.py")
        of_file = "JSONL: question, and steps or text"
        samples.add_argument("--data_path", nargs="+", type=Path, metavar="PATH", help=of_file)
    model = p.add_mutually_exclusive_group(required=True)
    model.add_argument("--RM", metavar="NAME", help="a served reward model, or oracle, oracle:noise=E")
    model.add_argument("--model_path", metavar="PATH", help="load this PRM here: a folder or hub id")
    a: Callable[..., argparse.Action] = p.add_argument
    a("--card", metavar="NAME", help="of --model_path; default: the one that lists the model, or lies in its folder")
    a("--base_model", metavar="PATH", help="of an adapter; default: its card's")
    a("--device", help="of --model_path: cpu, cuda, cuda:1...; default: cuda where there is one")
    a("--trust_remote_code", action="store_true", help="run code that comes with the model")
    a("--controller_addr", default="http://127.0.0.1:28777", metavar="URL", help="of --RM; default %(default)s")
    a("--num_worker", type=positive, default=64, metavar="N", help="requests in flight; default %(default)s")
    a("--out", type=Path, required=True, metavar="DIR", help="for the results")
    if own_thresholds:
        a("--threshold", action="append", type=threshold, default=[], metavar="[NAME=]T",
          help="also report at this threshold, below which a step is called wrong; may be repeated")  # fmt: skip
    a("--skip_bad_rows", action="store_true", help="leave out, and count, rows that cannot be read or scored")
    return a


def threshold(text: str) -> tuple[str, float]:
    """A name and a threshold, from T or NAME=T."""
    name, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a number, or NAME=number, not {text!r}")
    return name or f"own {number}", value


def check(args: argparse.Namespace) -> None:
    """Refuse options that would do nothing. Raises UserError."""
    given = [name for name in ("card", "base_model", "device", "trust_remote_code") if getattr(args, name)]
    if given and args.model_path is None:
        raise UserError(f"--{given[0]} is of a model that is loaded here (--model_path); a served one has its own")
    own = dict(getattr(args, "threshold", []))
    if len(own) < len(getattr(args, "threshold", [])) or "0.5" in own:
        raise UserError("--threshold: two thresholds have one name (0.5 is always there)")
    args.threshold = own


async def run(args: argparse.Namespace) -> None:
    """Measure, then write and draw. Raises UserError."""
    check(args)
    benchmark = importlib.import_module(f"prm.benchmarks.{args.benchmark}")
    result = await benchmark.run(args)

    from prm.benchmarks.report import write

    try:
        write(result, args, args.out)
    except OSError as error:
        raise UserError(f"--out {args.out}: {error.strerror}: {error.filename}") from None
    except ModuleNotFoundError as error:
        advice = f"but the plots need {error.name}: pip install it"
        raise UserError(f"the tables are written to {args.out}, {advice}") from None


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_command(PROG, partial(run, parser().parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
