"""Process supervision data by OmegaPRM: `python data/omegaprm/run_omegaprm.py --LM NAME --question_file FILE ...`.

Leaves in --output_dir: math-aps-v2.jsonl, or the task's name in it (the labels, in the questions' order),
journal.jsonl (every finished question with its costs or error), config.json, summary.json. The same command goes on
where a killed run stopped.
Exit status: 0, 1 when more questions failed than --allow_errors, 2 for bad input, services that stayed away or a full
disk (one line on stderr), 130 on Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]
if __package__ in (None, ""):  # run as a file: the folder of this file is on the path, the repository's root is not
    sys.path[0] = str(ROOT)

from data.omegaprm.arguments import PROG, check, options, parser, questions  # noqa: E402
from reason.common.command import expect_many_requests, run_command  # noqa: E402

if TYPE_CHECKING:
    from data.omegaprm.options import LabelOptions
    from envs.base_env import Problem, Task
    from reason.inference.base import LanguageModel

SUMMARY = "summary.json"


def labels_file(task: str) -> str:
    """What a run's labels are called: OpenR's name for MATH, and its like for other tasks."""
    return f"{task.lower()}-aps-v2.jsonl"


def configuration(
    args: argparse.Namespace, task: Task, problems: Sequence[Problem], lm: LanguageModel, chosen: LabelOptions
) -> dict[str, Any]:
    """What config.json says of a run; see PARTS of the journal for what makes a run what it is."""
    from reason.evaluation.manifest import commit, dataset_hash, versions
    from reason.model_cards.card import to_dict

    number, shards = args.shard
    return {
        "options": asdict(chosen) | {"keep_right_rollouts": args.keep_right_rollouts},
        "dataset": {"task": task.name, "questions": len(problems), "sha256": dataset_hash(problems)},
        "models": {"LM": args.LM, "card": to_dict(lm.card)},
        "shard": {"number": number, "of": shards},
        "details": {name: value for name, value in lm.details.items() if name != "card"},
        "versions": versions(),
        "commit": commit(),
    }


async def run(args: argparse.Namespace) -> int:
    """One run from its arguments to its exit status. Raises UserError."""
    from data.omegaprm.journal import Journal
    from data.omegaprm.labeller import ERROR, LabelSetup, label_all
    from data.omegaprm.merge import closing_line, merge
    from data.omegaprm.output import LabelRecord
    from data.omegaprm.patience import PatientLM
    from data.omegaprm.progress import LabelProgress
    from envs.base_env import load_task
    from reason.common.files import write_json
    from reason.inference import open_lm
    from reason.inference.askable import askable
    from reason.inference.base import Stats
    from reason.inference.fastchat import FastChatLM
    from reason.inference.prompting import render

    check(args)
    task = load_task(args.task_name)
    problems = questions(args, task)
    stats, address = Stats(), args.controller_addr
    async with open_lm(args.LM, controller_addr=address, request_timeout=args.request_timeout, stats=stats) as lm:
        chosen = options(args, lm.card.sampling, task.max_new_tokens)
        problems = await askable(problems, lambda problem: render(lm.card, task.prompt(problem)), lm)
        number, shards = args.shard
        patient = PatientLM(lm, args.patience, lm.pool.look_up if isinstance(lm, FastChatLM) else None)
        journal = Journal(args.output_dir, configuration(args, task, problems, lm, chosen))
        grader = task.grader()
        try:
            ours = list(enumerate(problems))[number - 1 :: shards]
            waiting = [(index, problem) for index, problem in ours if problem.id not in journal.statuses]
            bar = LabelProgress(len(ours), journal.statuses.values(), stats, lambda: patient.samples)
            async with bar:

                def done(record: LabelRecord) -> None:
                    journal.append(record)
                    bar.update(record)

                setup = LabelSetup(task, patient, args.LM, grader, chosen, args.keep_right_rollouts)
                await label_all(setup, waiting, args.num_worker, done)
        except asyncio.CancelledError:
            print("Stopped. Finished questions are kept: the same command goes on.", file=sys.stderr)
            raise
        finally:
            journal.close()
            await grader.close()
    output = args.output_dir / labels_file(task.name)
    totals = merge([args.output_dir], output, args.save_data_tree)
    write_json(args.output_dir / SUMMARY, totals)
    print(closing_line(totals, output))
    return int(totals["questions"][ERROR] > args.allow_errors * len(ours))


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)
    expect_many_requests()
    return run_command(PROG, partial(run, args))


if __name__ == "__main__":
    sys.exit(main())
