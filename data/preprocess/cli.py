"""Convert process supervision data: `python data/preprocess/cli.py prm800k train.jsonl` writes train.new.jsonl.

FORMAT is prm800k, math-aps, math-aps-tree, math-shepherd, omegaprm, processbench, or openr for files that OpenR's
converters wrote. Each FILE is JSONL or one JSON list; what is written stands in data/preprocess/common.py, or with
--openr is the JSON list that OpenR's trainers read. `python -m data.preprocess.stats FILE` counts what came out.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from data.preprocess.common import RIGHT, STEP_TAG, UNKNOWN, WRONG, ReadingOptions
from data.preprocess.convert import READERS, Counts, Shape, convert
from reason.common.command import Parser, run_command
from reason.common.errors import UserError
from reason.common.rows import check_readable

PROG = "cli.py"
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
MC_VALUES = ("math-aps", "math-aps-tree", "omegaprm")


def parser() -> Parser:
    """The command line; OpenR's options have its names."""
    p = Parser(prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a = p.add_argument
    a("format", choices=READERS, metavar="FORMAT")
    a("files", nargs="+", type=Path, metavar="FILE")
    a("--openr", action="store_true", help="write OpenR's flat form; neutral steps count as right there")
    a("-t", "--step-tag", type=tag, help=r"of OpenR's flat form, \n and \t understood; default five times \n")
    a("-s", "--suffix", default="new", help="FILE.jsonl is written as FILE.SUFFIX.jsonl; default %(default)s")
    a("--output-dir", type=Path, metavar="DIR", help="default: beside FILE")
    a("--add-step-prefix", action="store_true", help='put "Step 1: " and so on before the steps')
    a("--label-once", action="store_true", help="label a step that solutions of a row share in the first of them alone")
    neutral = p.add_mutually_exclusive_group()
    neutral.add_argument("--neutral-is-bad", action="store_true", help="prm800k: rating 0 is a wrong step")
    neutral.add_argument("--neutral-is-good", action="store_true", help="prm800k: rating 0 is a right step")
    a("--hard-above", type=share, metavar="X", help="MC values above X are right; default: 0, OpenR's: 0.5")
    a("--skip-bad-rows", action="store_true", help="leave rows out that cannot be read, and count them")
    return p


def tag(text: str) -> str:
    r"""A step tag with its escapes resolved: \n, \t, \r, \\ and \uXXXX."""
    resolved = re.sub(r"\\(u[0-9a-fA-F]{4}|.|$)", _escape, text, flags=re.DOTALL)
    if not resolved:
        raise argparse.ArgumentTypeError("must not be empty")
    return resolved


def _escape(match: re.Match[str]) -> str:
    name = match[1]
    if len(name) == 5:
        return chr(int(name[1:], 16))
    if name not in ESCAPES:
        raise argparse.ArgumentTypeError(rf"has the unknown escape {match[0]!r}; \n, \t, \r, \\ and \uXXXX are known")
    return ESCAPES[name]


def share(text: str) -> float:
    """A number from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to below 1, not {text!r}")
    return value


def check(args: argparse.Namespace) -> None:
    """Refuse options that would do nothing, and outputs that would meet. Raises UserError."""
    if (args.neutral_is_bad or args.neutral_is_good) and args.format != "prm800k":
        raise UserError(f"--neutral-is-bad and --neutral-is-good are of prm800k; {args.format} has no neutral rating")
    if args.hard_above is not None and args.format not in MC_VALUES:
        raise UserError(f"--hard-above is of {', '.join(MC_VALUES)}; {args.format} has no MC values")
    if args.step_tag is not None and not args.openr and args.format != "openr":
        raise UserError("--step-tag is of OpenR's flat form: give --openr as well")
    if args.openr and args.label_once:
        raise UserError("--label-once needs labels of -1, and OpenR's flat form has none: leave one of them out")
    if not args.suffix or "/" in args.suffix:
        raise UserError(f"--suffix {args.suffix!r} is no part of a file name")
    outputs = [output(args, path) for path in args.files]
    for out in outputs:
        if outputs.count(out) > 1:
            raise UserError(f"two of the files would be written as {out}: give each another --suffix")


def output(args: argparse.Namespace, path: Path) -> Path:
    """Where a file's conversion goes, by OpenR's rule: its last suffix gives way."""
    return (args.output_dir or path.parent) / f"{path.stem}.{args.suffix}.{'json' if args.openr else 'jsonl'}"


def options(args: argparse.Namespace) -> ReadingOptions:
    """What the reader is told."""
    neutral = RIGHT if args.neutral_is_good or args.openr else UNKNOWN
    return ReadingOptions(
        neutral=WRONG if args.neutral_is_bad else neutral,
        hard_above=args.hard_above,
        step_tag=args.step_tag or STEP_TAG,
    )


def run(args: argparse.Namespace) -> Iterable[tuple[Path, Path, Counts]]:
    """Convert file after file. Raises UserError."""
    check(args)
    for path in args.files:
        check_readable(path)
    shape = Shape(args.openr, args.add_step_prefix, args.label_once, args.skip_bad_rows)
    for path in args.files:
        out = output(args, path)
        yield path, out, convert(path, out, args.format, options(args), shape)


def act(args: argparse.Namespace) -> None:
    """Convert, and say what came of each file. Raises UserError."""
    for path, out, counts in run(args):
        for message in counts.bad:
            print(f"skipped: {message}", file=sys.stderr)
        print(f"{path} -> {out}\n  " + "\n  ".join(counts.lines()))


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_intermixed_args(arguments)
    return run_command(PROG, lambda: act(args))


if __name__ == "__main__":
    sys.exit(main())
