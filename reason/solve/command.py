"""`openr solve QUESTION... --lm MODEL`: answers, votes and cost on the console."""

from __future__ import annotations

import argparse
import sys

from reason.common.command import Parser, positive, run_command
from reason.guided_search import METHODS
from reason.guided_search.flags import add_search_flags, given_flags
from reason.guided_search.view import printable
from reason.solve import BUDGET, CONTROLLER, MANY, solve
from reason.solve.result import Solved, cost_line


def parser() -> Parser:
    """The command line."""
    p = Parser(
        prog="solve", description="Solve questions by a search method. No services and no gold answers are needed."
    )
    a = p.add_argument
    a("question", nargs="+", metavar="QUESTION")
    a("--lm", "--LM", required=True, metavar="NAME", help="policy LM: local:FOLDER, local: and the name of an embedded "
      "model, or a name at the controller")  # fmt: skip
    a("--rm", "--RM", metavar="NAME", help="reward model, by a name of the same kinds; or oracle")
    a("--method", default="best_of_n", help=f"{', '.join(METHODS)}; default %(default)s")
    a("--task", "--task_name", metavar="NAME", help="a folder of envs/; default: what the LM's card says, else MATH")
    a("--lm_card", metavar="NAME", help="card of a local LM, where it is not its own")
    a("--rm_card", metavar="NAME", help="card of a local reward model, where it is not its own")
    a("--controller_addr", default=CONTROLLER, metavar="URL", help="default %(default)s")
    a("--num_worker", type=positive, default=MANY, help="questions in flight; default %(default)s")
    a("--tree", action="store_true", help="print the search trees too")
    add_search_flags(p)
    return p


def act(args: argparse.Namespace) -> int:
    """Solve and print; 1 where a question could not be solved. Raises UserError."""
    options = given_flags(args)
    budget = options.pop("budget", None if "num_sequence" in options else BUDGET)
    results = solve(
        args.question, args.lm, args.rm, args.method, budget, task=args.task, lm_card=args.lm_card,
        rm_card=args.rm_card, controller_addr=args.controller_addr, num_worker=args.num_worker, **options,
    )  # fmt: skip
    for solved in results:
        print("\n".join(lines(solved, args.tree)))
    return int(any(solved.error is not None for solved in results))


def lines(solved: Solved, with_tree: bool) -> list[str]:
    """What is printed of a question."""
    question = printable(solved.question)
    if solved.error is not None:
        print(f"solve: {question}: {printable(solved.error)}", file=sys.stderr)
        return [question, "  could not be solved"]
    shares = ", ".join(f"{printable(answer)} {share:.2f}" for answer, share in solved.shares.items())
    votes = ", ".join(f"{name} {printable(str(answer))}" for name, answer in solved.votes.items())
    tree = [f"    {line}" for line in str(solved.tree).splitlines()] if with_tree else []
    return [
        question,
        f"  answer      {printable(str(solved.answer))}",
        f"  confidence  {solved.confidence}",
        f"  answers     {shares or 'none'}",
        f"  votes       {votes}",
        f"  cost        {cost_line(solved)}",
        *tree,
    ]


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)
    return run_command("solve", lambda: act(args))


if __name__ == "__main__":
    sys.exit(main())
