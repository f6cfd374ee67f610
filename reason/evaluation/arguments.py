"""The command line of evaluate.py, and what can be refused before any service is asked.

Imports nothing heavy, so that --help answers at once.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

TREE = ("tree_max_width", "tree_max_depth", "max_step_tokens")
PUCT = ("pb_c_base", "pb_c_init")
UNUSED = {  # flags that a method has no use for; --RM of cot: one solution needs no choice
    "cot": ("RM", "rm_card", "num_sequence", "temperature", "top_p", "top_k", *TREE, *PUCT),
    "best_of_n": TREE + PUCT,
    "beam_search": PUCT,
}


class BadInput(ValueError):
    """The arguments do not fit together, or do not fit the services; one line that says what to do."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line instead of the usage."""
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def parser() -> argparse.ArgumentParser:
    """The command line. Defaults of None are filled from the model's card and the task."""
    p = _Parser(prog="evaluate.py", description="Evaluate a search method over served models.", allow_abbrev=False)
    a = p.add_argument
    a("--LM", required=True, metavar="NAME", help="policy LM, by its name at the controller")
    a("--RM", metavar="NAME", help="reward model at the controller; oracle or oracle:noise=E for tasks with an oracle")
    a("--lm_card", metavar="NAME", help="refuse an LM that is served with another card")
    a("--rm_card", metavar="NAME", help="refuse an RM that is served with another card")
    a("--controller_addr", default="http://127.0.0.1:28777", metavar="URL", help="default %(default)s")
    a("--method", required=True, help="cot, best_of_n, beam_search or vanila_mcts")
    a("--num_sequence", type=int, default=1, help="solutions, beams kept, or MCTS paths; default %(default)s")
    a("--tree_max_width", type=int, help="samples of an expansion; default: the task's")
    a("--tree_max_depth", type=int, help="steps of a solution at most; default: the task's")
    a("--temperature", type=float, help="default: the LM card's, else 0.7; cot is greedy")
    a("--top_p", type=float, help="default: the LM card's, else 1")
    a("--top_k", type=int, help="default: the LM card's, else -1 (off)")
    a("--max_new_tokens", type=int, help="of a whole solution; default: the task's")
    a("--max_step_tokens", type=int, help="of one step of a tree method; default: the task's")
    a("--pb_c_init", type=float, default=1.25, help="exploration constant of vanila_mcts; default %(default)s")
    a("--pb_c_base", type=float, default=19652.0, help="exploration constant of vanila_mcts; default %(default)s")
    a("--task_name", default="MATH", help="a folder of envs/; default %(default)s")
    a("--data_path", type=Path, metavar="FILE", help="a JSONL file of problems instead of the task's own")
    a("--split", default="test", help="default %(default)s")
    a("--level", help="only problems of this level")
    a("--limit", type=int, help="only the first problems")
    a("--shuffle_seed", type=int, help="shuffle before the limit is taken")
    a("--is_few_shot", type=str2bool, default=False, metavar="True|False", help="show the task's worked examples")
    a("--seed", type=int, default=0, help="of all sampling; default %(default)s")
    a("--save_dir", type=Path, default=Path("results"), help="run folders go below it; default %(default)s")
    a("--resume_dir", type=Path, help="continue this run folder, with the same arguments")
    a("--num_worker", type=positive, default=32, help="questions in flight; default %(default)s")
    a("--request_timeout", type=float, default=600.0, help="seconds without a byte from a worker; default %(default)s")
    a("--local", action="store_true", help="one question at a time")
    a("--allow_errors", type=fraction, default=0.0, metavar="FRACTION", help="of failed questions with exit status 0")
    return p


def str2bool(text: str) -> bool:
    """True or False by name, as OpenR's flags take them."""
    if text not in ("True", "False"):
        raise argparse.ArgumentTypeError(f"must be True or False, not {text!r}")
    return text == "True"


def positive(text: str) -> int:
    """An integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer of at least 1, not {text!r}")
    return int(text)


def fraction(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not {text!r}")
    return value


def check(args: argparse.Namespace) -> None:
    """Refuse what can be refused without services; name flags that the method has no use for."""
    from reason.guided_search import METHODS

    if args.method not in METHODS:
        raise BadInput(f"no method {args.method!r}; there are: {', '.join(METHODS)}")
    if args.RM in ("dummy", "none"):  # OpenR's name for no reward model
        args.RM = None
    if args.RM is None and METHODS[args.method].needs_rm:
        raise BadInput(f"{args.method} is guided by a reward model: give --RM")
    if args.RM is None and args.rm_card is not None:
        raise BadInput("--rm_card needs --RM")
    usual = vars(parser().parse_args(["--LM", "", "--method", ""]))
    unused = [name for name in UNUSED.get(args.method, ()) if getattr(args, name) != usual[name]]
    if unused:
        print(f"note: {args.method} has no use for --{' --'.join(unused)}", file=sys.stderr)
