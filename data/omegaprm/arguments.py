"""The command line of run_omegaprm.py, OpenR's flags first. Imports nothing heavy, so that --help answers at once."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from data.omegaprm.options import PRESETS, LabelOptions
from envs.base_env import DataOptions, Problem, Task
from envs.problems import from_file, problem_of, select
from reason.common.command import Parser, fraction, positive, str2bool
from reason.common.errors import UserError
from reason.common.options import add_options, build, fields_of, given_options

PROG = "run_omegaprm.py"
SERVICES_OWN = ("device", "model_type", "log_file_prefix")  # OpenR's flags that the services' own scripts settle here
BOOL: dict[str, Any] = {"type": str2bool, "metavar": "True|False"}


def parser() -> Parser:
    """The command line. What is not given comes from --preset, the LM's card and the task, in this order."""
    p = Parser(prog=PROG, description="Label solution steps by Monte Carlo rollouts.")
    a = p.add_argument
    a("--question_file", type=Path, metavar="FILE", help="JSONL, or a JSON list, with problem (or question) and "
      "final_answer (or answer); default: the task's own problems")  # fmt: skip
    a("--output_dir", type=Path, default=Path("output"), help="one run's; the same command resumes it; default output")
    a(
        "--LM",
        "--model_name",
        dest="LM",
        required=True,
        metavar="NAME",
        help="policy LM: a name at the controller, or local:FOLDER",
    )
    a("--save_data_tree", default=True, **BOOL, help="the labels are trees, else flat lists; default True")
    a("--preset", choices=PRESETS, default="default", help="constants of the paper, or OpenR's; flags below override")
    add_options(p, LabelOptions)
    a("--keep_right_rollouts", default=True, **BOOL, help="label the steps of right rollouts as well; default True")
    a("--task_name", default="MATH", help="a folder of envs/: prompt, answers, grading; default %(default)s")
    a("--split", default="train", help="of the task's own problems; default %(default)s")
    a("--level", help="only problems of this level")
    a("--limit", type=positive, help="only the first problems")
    a("--shard", default="1/1", metavar="I/N", help="every N-th question from the I-th; merge.py joins the shards")
    a("--controller_addr", default="http://127.0.0.1:28777", metavar="URL", help="default %(default)s")
    a("--num_worker", type=positive, default=256, help="questions in flight; default %(default)s")
    a("--request_timeout", type=float, default=600.0, help="seconds without a byte from a worker; default %(default)s")
    a("--patience", type=float, default=900.0, help="seconds to wait for services that went away; default %(default)s")
    a("--allow_errors", type=fraction, default=0.0, metavar="FRACTION", help="of failed questions with exit status 0")
    for name in SERVICES_OWN:
        a(f"--{name}", help="OpenR's; settled where the services are started")
    return p


def check(args: argparse.Namespace) -> None:
    """What can be refused without services; raises UserError. `args.shard` becomes a pair."""
    for name in SERVICES_OWN:
        if getattr(args, name) is not None:
            print(f"note: --{name} is settled where the services are started", file=sys.stderr)
    i, slash, n = args.shard.partition("/")
    if not (slash and i.isdecimal() and n.isdecimal() and 1 <= int(i) <= int(n)):
        raise UserError(f"--shard must be I/N with I from 1 to N, such as 1/8, not {args.shard!r}")
    args.shard = (int(i), int(n))


def options(args: argparse.Namespace, card_sampling: dict[str, float], max_new_tokens: int) -> LabelOptions:
    """Each option from its flag, else from the preset, else from the LM's card and the task. Raises UserError."""
    usual: dict[str, Any] = {"max_new_tokens": max_new_tokens, **card_sampling} | PRESETS[args.preset]
    usual = {name: value for name, value in usual.items() if name in fields_of(LabelOptions)}
    usual["top_k"] = int(usual.get("top_k", -1))
    chosen: LabelOptions = build(LabelOptions, usual | given_options(args, LabelOptions), "labelling")
    return chosen


def questions(args: argparse.Namespace, task: Task) -> list[Problem]:
    """All questions of the run, shards taken together: the task's own, or a file's. Raises UserError."""
    if args.question_file is None:
        own = DataOptions(split=args.split, limit=args.limit, level=args.level, path_flag="--question_file")
        return task.problems(own)
    problems = from_file(args.question_file, lambda row, number: problem_of(row, task.gold, str(number)))
    return select(problems, DataOptions(limit=args.limit, level=args.level))
