"""Many runs of evaluate.py on running services, each in a folder of its own, and one table of them.

`python -m reason.evaluation.sweep scaling` runs methods at several budgets and draws accuracy against budget
(report.py); `... main_table` runs greedy, best-of-N, beam search and MCTS with several scorers and seeds and compares
them (compare.py). scripts/eval/scaling.sh and main_table.sh are these with their variables. A finished run is not made
again and a stopped one is resumed, so the same command goes on. Arguments after `--` go to evaluate.py.

Exit status: 0; 1 when a run has failed questions; that of a run that ended otherwise.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reason.common.addresses import http_address
from reason.common.command import Parser, positive, run_command
from reason.common.errors import UserError
from reason.common.files import read_json
from reason.common.processes import run_to_end

PROG = "sweep"


class RunStopped(Exception):
    """A run was interrupted or refused, so that the sweep cannot go on; `status` is its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status = status


@dataclass
class Sweep:
    """The runs of a sweep: what they share, and those that were made."""

    args: argparse.Namespace
    folders: list[str] = field(default_factory=list)
    failed_questions: bool = False

    def evaluate(self, method: str, where: Path, *words: str) -> Path:
        """One run below `where`, or what is left of it; returns its folder. Raises RunStopped."""
        args, run = self.args, self.run_of(where, method)
        if run is None or not finished(run):
            print(f"==> {method} in {where}", flush=True)
            resumed = [] if run is None else ["--resume_dir", str(run)]
            status = self.python(
                "evaluate", "--method", method, "--LM", args.LM, "--task_name", args.task_name,
                "--limit", str(args.limit), "--num_worker", str(args.num_worker),
                "--controller_addr", args.controller_addr, "--save_dir", str(where), *words, *args.more, *resumed,
            )  # fmt: skip
            if status > 1:
                raise RunStopped(status)
            self.failed_questions |= status == 1
            run = self.run_of(where, method)
        if run is None:
            raise UserError(f"{where}: {method} ended without a run folder")
        self.folders.append(str(run))
        return run

    def run_of(self, where: Path, method: str) -> Path | None:
        """The run folder of a method below `where`."""
        return next(iter(sorted((where / self.args.task_name / method).glob("*/"))), None)

    def python(self, module: str, *words: str) -> int:
        """A command of this room, run to its end; returns its exit status."""
        return run_to_end([sys.executable, "-m", f"reason.evaluation.{module}", *words])


def finished(run: Path) -> bool:
    """Whether a run has come to its end with no failed question."""
    averages = run / "avg_result.json"
    if not averages.is_file():
        return False
    return bool(read_json(averages)[0].get("errors") == 0)


def scaling(sweep: Sweep) -> int:
    """Methods x scorers x budgets x seeds. Best-of-N runs at the largest budget alone: the report subsamples it."""
    args = sweep.args
    check_settings(args)
    largest = max(args.budgets)
    for seed in args.seeds:
        for method in args.methods:
            if method == "cot":
                if seed == args.seeds[0]:
                    sweep.evaluate("cot", args.save_dir / "greedy", "--seed", str(seed))
                continue
            for scorer in args.scorers:
                for budget in [largest] if method == "best_of_n" else args.budgets:
                    where = args.save_dir / scorer / f"seed{seed}" / f"budget{budget}"
                    sweep.evaluate(method, where, "--RM", scorer, "--budget", str(budget), "--seed", str(seed))
    budgets = [str(budget) for budget in args.budgets]
    return sweep.python("report", *sweep.folders, "--out", str(args.report_dir), "--budgets", *budgets)


def check_settings(args: argparse.Namespace) -> None:
    """A finished run is not looked into again, so the folder must be of the same settings. Raises UserError."""
    words = " ".join([f"LM={args.LM} TASK_NAME={args.task_name} LIMIT={args.limit}", *args.more])
    file = args.save_dir / "settings.txt"
    args.save_dir.mkdir(parents=True, exist_ok=True)
    if not file.is_file():
        file.write_text(words + "\n", encoding="utf-8")
    stated = file.read_text(encoding="utf-8").removesuffix("\n")
    if stated != words:
        raise UserError(f"{args.save_dir} holds runs with {stated}, not {words}: set SAVE_DIR")


def main_table(sweep: Sweep) -> int:
    """Greedy, best-of-N, beam search and MCTS; best-of-N's samples are drawn once and scored by every scorer."""
    args = sweep.args
    greedy = sweep.evaluate("cot", args.save_dir / "none" / "seed0", "--seed", "0")
    first_best = None
    for seed in args.seeds:
        drawn = None
        for scorer in args.scorers:
            where, common = args.save_dir / scorer / f"seed{seed}", ["--RM", scorer, "--seed", str(seed)]
            if drawn is None:
                drawn = sweep.evaluate("best_of_n", where, "--budget", str(args.budget), *common)
                first_best = first_best or drawn
            elif sweep.run_of(where, "best_of_n") is None:
                addressed = ["--controller_addr", args.controller_addr]
                status = sweep.python("rescore", str(drawn), "--RM", scorer, "--save_dir", str(where), *addressed)
                if status:
                    return status
            width = ["--tree_max_width", str(args.tree_max_width)]
            sweep.evaluate("beam_search", where, "--budget", str(args.budget), *width, *common)
            sweep.evaluate("vanila_mcts", where, "--budget", str(args.mcts_budget), *width, *common)
    runs = sorted(str(run) for run in args.save_dir.glob(f"*/seed*/{args.task_name}/*/*/"))
    return sweep.python(
        "compare", *runs, "--pool_seeds", "--markdown", "--json", str(args.save_dir / "table.json"),
        "--against", f"{greedy}:headline", "--against", f"{first_best}:majority_vote",
    )  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=("scaling", "main_table"))
    p.add_argument("--LM", required=True, help="the policy")
    p.add_argument("--scorers", nargs="+", required=True, metavar="RM", help="reward models, or oracle")
    p.add_argument("--task_name", required=True)
    p.add_argument("--limit", type=positive, default=1000, metavar="N", help="questions; default %(default)s")
    p.add_argument("--seeds", nargs="+", type=int, default=[0], metavar="N", help="default: 0")
    p.add_argument(
        "--num_worker", type=positive, default=64, metavar="N", help="questions in flight; default %(default)s"
    )
    p.add_argument("--controller_addr", default=http_address("127.0.0.1", 28777), metavar="URL")
    p.add_argument("--save_dir", type=Path, required=True, metavar="DIR")
    of_scaling = p.add_argument_group("scaling").add_argument
    of_scaling("--methods", nargs="+", metavar="NAME", help="cot among them runs once")
    of_scaling("--budgets", nargs="+", type=positive, default=[1, 4, 16, 64], metavar="N", help="default: 1 4 16 64")
    of_scaling("--report_dir", type=Path, metavar="DIR", help="of the table and the curves; default: SAVE_DIR/report")
    of_table = p.add_argument_group("main_table").add_argument
    of_table("--budget", type=positive, default=16, metavar="N", help="default %(default)s")
    of_table("--mcts_budget", type=positive, default=16, metavar="N", help="of MCTS; default %(default)s")
    of_table(
        "--tree_max_width", type=positive, default=4, metavar="M", help="steps of an expansion; default %(default)s"
    )
    return p


def act(args: argparse.Namespace) -> int:
    """Make the runs that are missing, then their table."""
    if args.what == "scaling" and not args.methods:
        raise UserError("scaling needs --methods")
    args.report_dir = args.report_dir or args.save_dir / "report"
    sweep = Sweep(args)
    try:
        status = scaling(sweep) if args.what == "scaling" else main_table(sweep)
    except RunStopped as stopped:
        return stopped.status
    return status or int(sweep.failed_questions)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    own = given.index("--") if "--" in given else len(given)
    args = parser().parse_args(given[:own])
    args.more = given[own + 1 :]
    return run_command(PROG, lambda: act(args))


if __name__ == "__main__":
    sys.exit(main())
