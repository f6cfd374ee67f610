"""Evaluate a search method on a task: `python reason/evaluation/evaluate.py --LM NAME --method best_of_n ...`.

Exit status: 0, 1 when more questions failed than --allow_errors, 2 for bad input (one line on stderr), 130 on Ctrl-C,
143 on SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
if __package__ in (None, ""):  # run as a file: the folder of this file is on the path, the repository's root is not
    sys.path[0] = str(ROOT)

from reason.common.command import expect_many_requests, run_command  # noqa: E402
from reason.common.errors import UserError  # noqa: E402
from reason.evaluation.arguments import check, parser  # noqa: E402

if TYPE_CHECKING:
    from envs.base_env import Problem, Task
    from reason.evaluation.evaluator import Setup
    from reason.evaluation.records import RunFolder
    from reason.guided_search.method import Method
    from reason.guided_search.options import SearchOptions
    from reason.inference.base import LanguageModel, RewardModel, Stats

PROG = "evaluate.py"


async def run(args: argparse.Namespace) -> int:
    """One evaluation from its arguments to its exit status. Raises UserError and RunError."""
    from envs.base_env import DataOptions, load_task
    from reason.evaluation import records
    from reason.evaluation.closing import averages, closing_lines
    from reason.evaluation.evaluator import Setup
    from reason.evaluation.manifest import manifest
    from reason.evaluation.shards import part
    from reason.inference.askable import askable
    from reason.inference.base import Stats
    from reason.inference.prompting import render

    check(args)
    task = load_task(args.task_name)
    if args.is_few_shot and not task.few_shot:
        raise UserError(f"task {task.name!r} has no worked examples: leave out --is_few_shot")
    selected = task.problems(DataOptions(args.split, args.data_path, args.limit, args.shuffle_seed, args.level))
    part(selected, args.num_shards, args.shard)  # refused before a model is opened
    stats = Stats()
    async with contextlib.AsyncExitStack() as stack:
        lm, rm = await models(args, stack, task, stats)
        method, options = searching(args, task, lm)
        examples = task.few_shot if options.few_shot else ()
        selected = await askable(selected, lambda problem: render(lm.card, task.prompt(problem), examples), lm)
        problems = part(selected, args.num_shards, args.shard)
        options, measured = await with_steps(args, selected, task, lm, method, options)
        config = manifest(args, selected, lm, rm, options) | ({"measured_steps": measured} if measured else {})
        if args.resume_dir is not None:
            folder = records.resume(args.resume_dir, config)
        else:
            folder = records.create(args.save_dir, task.name, args.method, config)
        grader = task.grader()
        try:
            await answer(args, problems, Setup(task, method, lm, rm, options, grader), folder, stats)
            folder.write_averages(averages(folder.finished, measured))
        except asyncio.CancelledError:
            print(f"Stopped. Finished questions are kept: --resume_dir {folder.path} continues.", file=sys.stderr)
            raise
        finally:
            folder.close()
            await grader.close()
    print("\n".join(closing_lines(args.method, str(folder.path), folder.finished)))
    failed = sum(finished.error is not None for finished in folder.finished)
    return int(failed > args.allow_errors * len(folder.finished))


async def answer(
    args: argparse.Namespace, problems: list[Problem], setup: Setup, folder: RunFolder, stats: Stats
) -> None:
    """Answer the questions that the run folder does not hold yet, each into one record."""
    from reason.evaluation.evaluator import evaluate
    from reason.evaluation.progress import Progress

    known = {finished.id for finished in folder.finished}
    waiting = [problem for problem in problems if problem.id not in known]
    before = max((finished.elapsed for finished in folder.finished), default=0.0)
    started = time.monotonic()
    async with Progress(len(waiting), stats) as progress:

        def done(record: dict[str, Any]) -> None:
            folder.append(record | {"elapsed": round(before + time.monotonic() - started, 3)})
            progress.update(record)

        await evaluate(setup, waiting, 1 if args.local else args.num_worker, done)


async def models(
    args: argparse.Namespace, stack: contextlib.AsyncExitStack, task: Task, stats: Stats
) -> tuple[LanguageModel, RewardModel | None]:
    """The LM and the reward model (None without --RM), which `stack` closes. Raises UserError."""
    from reason.guided_search import METHODS
    from reason.inference import open_lm, open_rm

    at: dict[str, Any] = {"controller_addr": args.controller_addr, "request_timeout": args.request_timeout}
    lm: LanguageModel = await stack.enter_async_context(open_lm(args.LM, card=args.lm_card, stats=stats, **at))
    if args.RM is None or METHODS[args.method].greedy:
        return lm, None
    opening = open_rm(args.RM, task=task, seed=args.seed, card=args.rm_card, stats=stats, **at)
    rm: RewardModel = await stack.enter_async_context(opening)
    return lm, rm


def searching(args: argparse.Namespace, task: Task, lm: LanguageModel) -> tuple[Method, SearchOptions]:
    """The method and the shared options: from the flags, else the LM's card, else the task. Raises UserError."""
    from reason.common.options import given_options
    from reason.guided_search import METHODS, configure
    from reason.guided_search.options import SearchOptions

    values = given_options(args, SearchOptions) | given_options(args, METHODS[args.method])
    if args.steps_per_solution is None and (args.data_path is None or args.level is not None):
        values["steps_per_solution"] = task.steps_per_solution.get(args.level or "")
    return configure(args.method, values, task, lm.card)


async def with_steps(
    args: argparse.Namespace,
    selected: list[Problem],
    task: Task,
    lm: LanguageModel,
    method: Method,
    options: SearchOptions,
) -> tuple[SearchOptions, dict[str, Any] | None]:
    """The options with T, and what was measured for it; None where that was not needed.

    It is measured where a budget is counted in steps and nobody says how many a solution has, or with --measure_steps.
    A run that is resumed keeps its own.
    """
    from reason.evaluation.records import read_config
    from reason.guided_search import needs_steps
    from reason.guided_search.measure import measure_steps

    if not (args.measure_steps or needs_steps(method, options)):
        return options, None
    measured = None if args.resume_dir is None else read_config(args.resume_dir).get("measured_steps")
    if measured is None:
        steps = await measure_steps(selected, task, lm, options, args.num_worker)
        print(steps)
        measured = steps.to_json()
    return dataclasses.replace(options, steps_per_solution=measured["steps_per_solution"]), measured


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)

    async def act() -> int:
        return await run(args)

    expect_many_requests()
    return run_command(PROG, act)


if __name__ == "__main__":
    sys.exit(main())
