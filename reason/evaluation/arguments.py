"""The command line of evaluate.py, and what can be refused before any service is asked.

The flags of search methods follow from the methods' own classes. Imports nothing heavy, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reason.common.command import Parser, fraction, positive, str2bool
from reason.common.errors import UserError
from reason.common.options import fields_of, flag_of
from reason.guided_search import METHODS, method_of
from reason.guided_search.flags import add_search_flags, own_options
from reason.guided_search.options import SearchOptions

ELSEWHERE = ("seed", "few_shot")  # shared options that stand among the flags of the data and of the run


def parser() -> argparse.ArgumentParser:
    """The command line. Options that are not given are None until `check` fills them in."""
    p = Parser(prog="evaluate.py", description="Evaluate a search method on a task.")
    a = p.add_argument
    a("--LM", required=True, metavar="NAME", help="policy LM: its name at the controller, or local:FOLDER")
    a("--RM", metavar="NAME", help="reward model: the same, or oracle[:noise=E] for tasks with an oracle")
    a("--lm_card", metavar="NAME", help="refuse an LM that is served with another card; of a local one, its card")
    a("--rm_card", metavar="NAME", help="the same for the RM")
    a("--controller_addr", default="http://127.0.0.1:28777", metavar="URL", help="default %(default)s")
    a("--method", required=True, help=", ".join(METHODS))
    add_search_flags(p, skip=ELSEWHERE)
    _add_run(p.add_argument_group("data").add_argument, p.add_argument_group("run").add_argument)
    return p


def _add_run(data: Callable[..., Any], run: Callable[..., Any]) -> None:
    """The flags that say which questions are searched, and how the run is driven."""
    data("--task_name", default="MATH", help="a folder of envs/; default %(default)s")
    data("--data_path", type=Path, metavar="FILE", help="a JSONL file of problems instead of the task's own")
    data("--split", default="test", help="default %(default)s")
    data("--level", help="only problems of this level")
    data("--limit", type=int, help="only the first problems")
    data("--shuffle_seed", type=int, help="shuffle before the limit is taken")
    data("--num_shards", type=positive, default=1, help="split the problems over so many clients; default %(default)s")
    data("--shard", type=int, default=0, help="this client's part, from 0; default %(default)s")
    data("--is_few_shot", type=str2bool, metavar="True|False", help="show the task's worked examples; default False")
    data(
        "--measure_steps", action="store_true", default=None,
        help="measure --steps_per_solution on the first questions, also where the task knows it",
    )  # fmt: skip
    run("--seed", type=int, help="of all sampling; default 0")
    run("--save_dir", type=Path, default=Path("results"), help="run folders go below it; default %(default)s")
    run("--resume_dir", type=Path, help="continue this run folder, with the same arguments")
    run("--num_worker", type=positive, default=32, help="questions in flight; default %(default)s")
    run("--request_timeout", type=float, default=600.0, help="seconds without a byte of a worker; default %(default)s")
    run("--local", action="store_true", help="one question at a time")
    run("--allow_errors", type=fraction, default=0.0, metavar="FRACTION", help="of failed questions with exit status 0")


def check(args: argparse.Namespace) -> None:
    """Refuse what can be refused without services, name flags that the method has no use for, fill in defaults."""
    method = method_of(args.method)
    if not 0 <= args.shard < args.num_shards:
        raise UserError(f"--shard must be from 0 to --num_shards - 1 = {args.num_shards - 1}, not {args.shard}")
    if args.RM in ("dummy", "none"):  # OpenR's name for no reward model
        args.RM = None
    if args.RM is None and method.needs_rm:
        raise UserError(f"{args.method} is guided by a reward model: give --RM")
    if args.RM is None and args.rm_card is not None:
        raise UserError("--rm_card needs --RM")
    if args.budget is not None and args.num_sequence is not None:
        raise UserError("--budget and --num_sequence say the same in two ways: give one of them")
    if args.measure_steps and args.steps_per_solution is not None:
        raise UserError("--measure_steps and --steps_per_solution give the same: leave out one of them")
    if args.measure_steps and args.budget is None:
        raise UserError("--measure_steps is for a --budget: give one")
    shared, defaults = fields_of(SearchOptions), own_options()
    useless = ["RM", "rm_card"] if method.greedy else []  # one solution needs no choice
    useless += [flag_of(field) for name, field in shared.items() if name in method.unused]
    useless += [name for name in defaults if name not in fields_of(method)]
    unused = [flag for flag in useless if getattr(args, flag) is not None]
    if unused:
        print(f"note: {args.method} has no use for --{' --'.join(unused)}", file=sys.stderr)
    defaults |= {flag_of(f): f.default for f in shared.values() if f.default is not None and not f.metadata["usual"]}
    for flag, default in defaults.items():
        if getattr(args, flag) is None:
            setattr(args, flag, default)
