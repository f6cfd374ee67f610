"""Vote again over the solutions of a finished run with another scorer.

Run: `python -m reason.evaluation.rescore RUN_DIR --RM oracle --save_dir DIR`.

For best-of-N only: its samples do not depend on the scorer, so one run serves several. The result is a run folder
like any other, with the cost of generation copied and the new scorer's cost in place of the old one's.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from itertools import accumulate
from pathlib import Path

from envs.base_env import Grader, Problem, Task, load_task, split_steps
from reason.common.command import Parser, run_command
from reason.common.concurrency import together
from reason.common.errors import UserError
from reason.evaluation import records
from reason.evaluation.closing import averages, closing_lines
from reason.evaluation.evaluator import error_of, judge_solutions
from reason.evaluation.runs import gaps
from reason.guided_search.solution import Solution
from reason.inference import open_rm
from reason.inference.base import ModelError, RewardModel, ServiceError, Unavailable
from reason.inference.ledger import Ledger
from reason.model_cards.card import to_dict


def problem_of(row: records.Record) -> Problem:
    """The problem that a record answers."""
    return Problem(row["id"], row["question"], row["gold"], row["level"], row["subject"])


def generation_ledger(row: records.Record) -> Ledger:
    """What a record's solutions cost, without what the old scorer did."""
    ledger = Ledger.of(row["ledger"])
    ledger.prm_calls = ledger.prm_tokens_computed = ledger.prm_tokens_reused = 0
    ledger.seconds_scoring = 0.0
    return ledger


async def rescored(
    row: records.Record, task: Task, rm: RewardModel, grader: Grader, separator: str, ledger: Ledger
) -> records.Record:
    """The record with the new scorer's scores and votes, its cost added to `ledger`. Raises ModelError."""
    problem = problem_of(row)
    steps = [split_steps(output["text"], separator) for output in row["output"]]
    with_steps = [s for s in steps if s]
    tokens = [output["completion_tokens"] for output in row["output"]]
    scores = iter(await rm.score(problem, with_steps, ledger) if with_steps else [])
    solutions = [
        Solution(
            tuple(s), tuple(next(scores)) if s else (), output["answer"],
            output["num_tokens"], output["finish_reason"], spent,
        )
        for s, output, spent in zip(steps, row["output"], accumulate(tokens), strict=True)
    ]  # fmt: skip
    return row | await judge_solutions(rm, grader, problem, solutions, ledger) | {"ledger": ledger.to_json()}


async def rescore(
    run: Path, name: str, rm: RewardModel, save_dir: Path, num_worker: int = 32, skip: bool = False
) -> Path:
    """Write a new run folder below `save_dir`, the run as if scored by `rm`, called `name`; returns it.

    A question of which `rm` cannot score a solution has with `skip` the error in its record, as in any run. Raises
    UserError; ServiceError, and then nothing is written, when no worker answers, and without `skip` for such a
    question, with the record's line.
    """
    config = records.read_config(run)
    if config["method"] != "best_of_n":
        raise UserError(f"{run} is a run of {config['method']}; only the samples of best_of_n serve any scorer")
    rows, task = records.read_records(run), load_task(config["dataset"]["task"])
    for gap in gaps(str(run), config, len(rows), sum(row["error"] is not None for row in rows)):
        print(f"rescore.py: {gap}", file=sys.stderr)
    grader, places = task.grader(), asyncio.Semaphore(num_worker)
    separator = config["cards"]["LM"]["step_separator"]

    async def scored(line: int, row: records.Record) -> records.Record:
        if row["error"] is not None:
            return row  # a question that failed in the run stays as it is
        ledger = generation_ledger(row)
        async with places:
            try:
                return await rescored(row, task, rm, grader, separator, ledger)
            except ModelError as error:
                if skip and not isinstance(error, Unavailable):
                    failed: records.Record = {"result": None, "output": [], "undecided": 0, "error": error_of(error)}
                    return row | failed | {"ledger": ledger.to_json()}
                raise ServiceError(f"{run / records.RECORDS}, line {line}: {error}") from None

    try:
        new_rows = await together(scored(line, row) for line, row in enumerate(rows, 1))
    finally:
        await grader.close()
    config |= {
        "RM": name,
        "headline": f"weighted vote, {rm.card.aggregation} of the step scores",
        "cards": config["cards"] | {"RM": to_dict(rm.card)},
        "rescored_from": str(run),
    }
    folder = records.create(save_dir, task.name, config["method"], config)
    try:
        for row in new_rows:
            folder.append(row)
        folder.write_averages(averages(folder.finished))
    finally:
        folder.close()
    print("\n".join(closing_lines(config["method"], str(folder.path), folder.finished)))
    return folder.path


async def run(args: argparse.Namespace) -> None:
    """The command. Raises as `rescore` does."""
    task = load_task(records.read_config(args.run)["dataset"]["task"])
    async with open_rm(args.RM, task=task, controller_addr=args.controller_addr) as rm:
        await rescore(args.run, args.RM, rm, args.save_dir, skip=args.skip_bad_rows)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser(prog="rescore.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of a finished best_of_n run")
    parser.add_argument("--RM", required=True, help="oracle[:noise=E], a name at the controller, or local:FOLDER")
    parser.add_argument("--save_dir", type=Path, required=True)
    parser.add_argument("--controller_addr", default="http://127.0.0.1:28777")
    parser.add_argument("--skip_bad_rows", action="store_true", help="questions that cannot be scored become errors")
    args = parser.parse_args(arguments)

    async def act() -> None:
        await run(args)

    return run_command("rescore.py", act)


if __name__ == "__main__":
    sys.exit(main())
