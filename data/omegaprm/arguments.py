"""The command line of run_omegaprm.py, OpenR's flags first. Imports nothing heavy, so that --help answers at once."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from data.omegaprm.options import PRESETS, Options
from reason.common.command import Parser, fraction, positive, str2bool
from reason.common.errors import UserError

SERVICES_OWN = ("device", "model_type", "log_file_prefix")  # OpenR's flags that the services' own scripts settle here
BOOL = {"type": str2bool, "metavar": "True|False"}


def parser() -> argparse.ArgumentParser:
    """The command line. Defaults of None come from --preset, the LM's card and the task, in this order."""
    p = Parser(prog="run_omegaprm.py", description="Label solution steps by Monte Carlo rollouts.")
    a = p.add_argument
    a("--question_file", type=Path, metavar="FILE", help="JSONL, or a JSON list, with problem (or question) and "
      "final_answer (or answer); default: the task's own problems")  # fmt: skip
    a("--output_dir", type=Path, default=Path("output"), help="one run's; the same command resumes it; default output")
    a("--LM", "--model_name", dest="LM", required=True, metavar="NAME", help="policy LM, by its name at the controller")
    a("--save_data_tree", default=True, **BOOL, help="math-aps-v2.jsonl holds trees, else flat lists; default True")
    a("--preset", choices=PRESETS, default="default", help="constants of the paper, or OpenR's; flags below override")
    a("--method", choices=("omegaprm", "all_steps"), help="all_steps: Math-Shepherd's rollouts from every step")
    a("--num_rollouts", type=int, help="k, rollouts a point; default 16")
    a("--root_rollouts", type=int, help="rollouts of the bare question, which filter it; default: k")
    a("--max_search_count", type=int, help="solutions of a question searched for their first error; default 20")
    a("--rollout_budget", type=int, help="rollouts of a question, a hard cap; default 200")
    a("--num_solutions", type=int, help="solutions of a question that all_steps labels; default 4")
    a("--alpha", type=float, help="of Q; default 0.5")
    a("--beta", type=float, help="of Q; default 0.9")
    a("--length_scale", type=float, help="L of Q; default: the median rollout of the question")
    a("--length_unit", choices=("tokens", "words"), help="of rollouts and of L; default tokens")
    a("--c_puct", type=float, help="of U; default 0.125")
    a("--paths_in_flight", type=int, help="solutions of a question searched side by side; default 1")
    a("--reuse_rollouts", default=None, **BOOL, help="a point that a right rollout passes costs nothing; default False")
    a("--hard_label", choices=("any", "half"), help="right when c > 0 (any), or when c/k > 0.5 (half); default any")
    a("--early_stop", default=None, **BOOL, help="stop sampling a point once its label is decided; default False")
    a("--wave", type=int, help="early_stop: rollouts between two looks; default 4")
    a("--error", type=float, help="early_stop: chance of a wrong decision; default 0.05")
    a("--least_value", type=float, help="early_stop: a value below it may be called 0; default 0.2")
    a("--keep_right_rollouts", default=True, **BOOL, help="label the steps of right rollouts as well; default True")
    a("--temperature", type=float, help="default: the LM card's, else 0.7")
    a("--top_p", type=float, help="default: the LM card's, else 1")
    a("--top_k", type=int, help="default: the LM card's, else -1 (off)")
    a("--max_new_tokens", type=int, help="of a whole solution; default: the task's")
    a("--seed", type=int, default=0, help="of all sampling; default %(default)s")
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


def options(args: argparse.Namespace, card_sampling: dict[str, float], max_new_tokens: int) -> Options:
    """Each option from its flag, else from the preset, else from the LM's card and the task. Raises UserError."""
    usual: dict[str, Any] = {"max_new_tokens": max_new_tokens, **card_sampling} | PRESETS[args.preset]
    given = {f.name: value for f in fields(Options) if (value := getattr(args, f.name)) is not None}
    known = {f.name for f in fields(Options)}
    values = {name: value for name, value in usual.items() if name in known} | given
    values["top_k"] = int(values.get("top_k", -1))
    try:
        return Options(**values)
    except ValueError as error:
        raise UserError(str(error)) from None
