"""Evaluate a search method on a task: `python reason/evaluation/evaluate.py --LM NAME --method best_of_n ...`.

Exit status: 0, 1 when more questions failed than --allow_errors, 2 for bad input (one line on stderr), 130 on Ctrl-C,
143 on SIGTERM.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[2]
if __package__ in (None, ""):  # run as a file: the folder of this file is on the path, the repository's root is not
    sys.path[0] = str(ROOT)

from reason.common.errors import UserError  # noqa: E402
from reason.evaluation.arguments import check, parser  # noqa: E402

if TYPE_CHECKING:
    from envs.base_env import Problem, Task
    from reason.guided_search.method import Method
    from reason.guided_search.options import SearchOptions
    from reason.inference.base import LanguageModel, RewardModel, Stats


async def run(args: argparse.Namespace) -> int:
    """One evaluation from its arguments to its exit status. Raises UserError and the errors that `main` names."""
    from envs.base_env import DataOptions, load_task
    from reason.evaluation import records
    from reason.evaluation.closing import averages, closing_lines
    from reason.evaluation.evaluator import Setup, evaluate
    from reason.evaluation.manifest import manifest
    from reason.evaluation.progress import Progress
    from reason.evaluation.shards import part
    from reason.inference.base import Stats

    this = asyncio.current_task()
    assert this is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)  # as Ctrl-C does
    check(args)
    task = load_task(args.task_name)
    if args.is_few_shot and not task.few_shot:
        raise UserError(f"task {task.name!r} has no worked examples: leave out --is_few_shot")
    selected = task.problems(DataOptions(args.split, args.data_path, args.limit, args.shuffle_seed, args.level))
    problems = part(selected, args.num_shards, args.shard)
    stats = Stats()
    async with contextlib.AsyncExitStack() as stack:
        lm, rm = await models(args, stack, task, stats)
        method, options = searching(args, task, lm)
        check_prompt(lm, task, problems[0], options)
        config = manifest(args, selected, lm, rm, options)
        if args.resume_dir is not None:
            folder = records.resume(args.resume_dir, config)
        else:
            folder = records.create(args.save_dir, task.name, args.method, config)
        known = {finished.id for finished in folder.finished}
        waiting = [problem for problem in problems if problem.id not in known]
        before = max((finished.elapsed for finished in folder.finished), default=0.0)
        grader, started = task.grader(), time.monotonic()
        try:
            async with Progress(len(waiting), stats) as progress:

                def done(record: records.Record) -> None:
                    folder.append(record | {"elapsed": round(before + time.monotonic() - started, 3)})
                    progress.update(record)

                setup = Setup(task, method, lm, rm, options, grader)
                await evaluate(setup, waiting, 1 if args.local else args.num_worker, done)
            folder.write_averages(averages(folder.finished))
        except asyncio.CancelledError:
            print(f"Stopped. Finished questions are kept: --resume_dir {folder.path} continues.", file=sys.stderr)
            raise
        finally:
            folder.close()
            await grader.close()
    print("\n".join(closing_lines(args.method, str(folder.path), folder.finished)))
    failed = sum(finished.error is not None for finished in folder.finished)
    return int(failed > args.allow_errors * len(folder.finished))


async def models(
    args: argparse.Namespace, stack: contextlib.AsyncExitStack, task: Task, stats: Stats
) -> tuple[LanguageModel, RewardModel | None]:
    """The LM and the reward model (None without --RM), which `stack` closes. Raises UserError."""
    from reason.guided_search import METHODS
    from reason.inference import open_lm, open_rm

    at = {"controller_addr": args.controller_addr, "request_timeout": args.request_timeout, "stats": stats}
    lm = await stack.enter_async_context(open_lm(args.LM, card=args.lm_card, **at))
    if args.RM is None or METHODS[args.method].greedy:
        return lm, None
    return lm, await stack.enter_async_context(open_rm(args.RM, task=task, seed=args.seed, card=args.rm_card, **at))


def searching(args: argparse.Namespace, task: Task, lm: LanguageModel) -> tuple[Method, SearchOptions]:
    """The method and the shared options: from the flags, else the LM's card, else the task. Raises UserError."""
    from reason.common.options import given_options
    from reason.guided_search import METHODS, configure, needs_steps
    from reason.guided_search.options import SearchOptions

    values = given_options(args, SearchOptions) | given_options(args, METHODS[args.method])
    if args.steps_per_solution is None and (args.data_path is None or args.level is not None):
        values["steps_per_solution"] = task.steps_per_solution.get(args.level or "")
    method, options = configure(args.method, values, task, lm.card)
    if needs_steps(method, options):
        raise UserError("--budget counts in steps of solutions: give --steps_per_solution, their mean number")
    return method, options


def check_prompt(lm: LanguageModel, task: Task, problem: Problem, options: SearchOptions) -> None:
    """Lay out one prompt, so that a card without a layout is named before the run and not in each record."""
    from reason.inference.prompting import render

    try:
        render(lm.card, task.prompt(problem), task.few_shot if options.few_shot else ())
    except ValueError as error:
        raise UserError(str(error)) from None


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)

    from reason.inference.base import ServiceError

    allow_many_requests()
    try:
        return asyncio.run(run(args))
    except (UserError, ServiceError) as error:
        print(f"evaluate.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM


def allow_many_requests() -> None:
    """Prepare the process: each request in flight is a connection, so the soft limit of open files is raised where the
    hard one lets us, and the garbage collector has seldom something to do."""
    import resource

    from reason.inference.concurrency import collect_rarely

    collect_rarely()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


if __name__ == "__main__":
    sys.exit(main())
