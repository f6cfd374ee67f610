"""Right solutions of finished runs, one a line, to fine-tune a policy on.

`python -m train.mat.expert_iteration.collect RUN_DIR... --out FILE.jsonl`

Expert iteration: what was found by sampling (method `cot` or `best_of_n`: STaR, Zelikman et al., 2022; ReST,
Gulcehre et al., 2023) or by search (beam search, MCTS, ...) and verified by the grader teaches the policy to find it
at once. A line:

    {"prompt": str,      the task's user's turn; the policy's card is put around it in training
     "completion": str,  the solution as it was written
     "id": str,          of the question, and which of its solutions
     "run": str}         the run folder

Exit status 2 for bad input, one line on stderr.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from data.preprocess.stats import normalised
from envs.base_env import DataOptions, Problem, Task, load_task
from reason.common.command import Parser, positive
from reason.common.errors import UserError
from reason.evaluation import records
from train.mat.runner.questions import apart


@dataclass(frozen=True)
class Found:
    """A right solution."""

    id: str
    text: str
    run: str


@dataclass
class Question:
    """What all runs say of one question; solutions by their text, so that none is there twice."""

    problem: Problem
    solutions: dict[str, Found]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(
        prog="collect.py", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    a = p.add_argument
    a(
        "runs",
        nargs="+",
        type=Path,
        metavar="RUN_DIR",
        help="finished run folders of evaluate.py, on training questions",
    )
    a("--out", type=Path, required=True, metavar="FILE", help="JSONL")
    a(
        "--max_solutions",
        type=positive,
        default=4,
        metavar="N",
        help="different ones of a question; default %(default)s",
    )
    a("--eval_split", nargs="+", default=["dev", "test"], metavar="SPLIT", help="the task's own splits whose questions "
      "must not be among those of the runs; default: dev test")  # fmt: skip
    a("--eval_dataset_path", type=Path, metavar="FILE", help="held-out questions, instead of the task's own splits")
    a("--drop_overlap", action="store_true", help="leave out questions that are held out, instead of refusing")
    a("--seed", type=int, default=0, help="of the choice among a question's solutions; default %(default)s")
    return p


def collect(args: argparse.Namespace) -> Counter[str]:
    """Write the file; returns what was found and left out. Raises UserError, UserError, UserError, OSError."""
    configs = [_config(run) for run in args.runs]
    names = list(dict.fromkeys(config["arguments"]["task_name"] for config in configs))
    if len(names) > 1:
        raise UserError(f"the runs are of several tasks, {' and '.join(names)}: collect those of one at a time")
    task, counts = load_task(names[0]), Counter[str]()
    questions: dict[str, Question] = {}
    for run in args.runs:
        _read(run, questions, counts)
    counts["questions"] = len(questions)
    held_out = _held_out(args, task, configs)
    kept = apart([question.problem for question in questions.values()], held_out, args.drop_overlap)
    counts["held-out questions"] = len(questions) - len(kept)
    lines = []
    for problem in kept:
        found = list(questions[normalised(problem.question)].solutions.values())
        chosen = choose(found, args.max_solutions, f"openr collect {args.seed} {problem.question}")
        counts.update({"solved": bool(found), "kept": len(chosen), "too many": len(found) - len(chosen)})
        lines += [json.dumps(_row(task, problem, one), ensure_ascii=False) + "\n" for one in chosen]
    if not lines:
        raise UserError(f"none of {counts['questions']} questions has a right solution: there is nothing to learn")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    beside = args.out.with_suffix(".tmp")
    beside.write_text("".join(lines), encoding="utf-8", errors="backslashreplace")
    beside.replace(args.out)
    return counts


def choose(found: Sequence[Found], most: int, seed: str) -> list[Found]:
    """At most so many of the solutions: a function of their texts and the seed, not of the order of the runs."""
    ordered = sorted(found, key=lambda one: one.text)
    return ordered if len(ordered) <= most else random.Random(seed).sample(ordered, most)


def _config(run: Path) -> dict[str, Any]:
    """The configuration of a finished run over training questions. Raises UserError, UserError."""
    config = records.read_config(run)
    arguments = config.get("arguments") if isinstance(config, dict) else None
    if not isinstance(arguments, dict) or not {"task_name", "split", "data_path", "level"} <= arguments.keys():
        raise UserError(f"{run}: is not a run folder of evaluate.py")
    if not (run / records.AVERAGES).is_file():
        raise UserError(f"{run}: the run has not ended; evaluate.py --resume_dir {run} goes on with it")
    if arguments["data_path"] is None and arguments["split"] != "train":
        raise UserError(
            f"{run}: is of split {arguments['split']!r}; only what was found on split 'train' may be learnt"
        )
    return config


def _read(run: Path, questions: dict[str, Question], counts: Counter[str]) -> None:
    """Add the right solutions of a run, and count what is not one. Raises UserError."""
    for record in records.read_records(run):
        if record["error"] is not None:
            counts["failed questions"] += 1
            continue
        problem = Problem(record["id"], record["question"], record["gold"], record["level"])
        question = questions.setdefault(normalised(problem.question), Question(problem, {}))
        for output in record["output"]:
            text = output["text"]
            reason = _why_not(output) or ("duplicate" if text.strip() in question.solutions else None)
            if reason is not None:
                counts[reason] += 1
            else:
                found = Found(f"{record['id']}#{output['path_idx']}", text, str(run))
                question.solutions[text.strip()] = found


def _why_not(output: dict[str, Any]) -> str | None:
    """Why a solution is not one to learn; None where it is right."""
    if output["answer"] is None:
        return "without an answer"
    if output["verdict"] is None:
        return "not graded"
    if output["verdict"] is not True:
        return "wrong"
    return None if output["finish_reason"] == "stop" else "cut"


def _held_out(args: argparse.Namespace, task: Task, configs: Sequence[dict[str, Any]]) -> list[Problem]:
    """Every question that must not be learnt. Raises UserError."""
    levels = dict.fromkeys(c["arguments"]["level"] for c in configs)
    options = [
        DataOptions(split, level=level, path_flag="--eval_dataset_path")
        for split in args.eval_split
        for level in levels
    ]
    if args.eval_dataset_path is not None:
        options = [DataOptions(data_path=args.eval_dataset_path)]
    try:
        return [problem for one in options for problem in task.problems(one)]
    except UserError as error:
        raise UserError(f"the held-out questions: {error} (see --eval_split and --eval_dataset_path)") from None


def _row(task: Task, problem: Problem, found: Found) -> dict[str, str]:
    return {"prompt": task.prompt(problem), "completion": found.text, "id": found.id, "run": found.run}


def summary(counts: Counter[str], out: Path) -> str:
    """One line of what was found."""
    left_out = ("wrong", "duplicate", "too many", "without an answer", "not graded", "cut", "failed questions",
                "held-out questions")  # fmt: skip
    said = ", ".join(f"{counts[name]:,} {name}" for name in left_out if counts[name])
    return (f"{out}: {counts['kept']:,} solutions of {counts['solved']:,} questions, of {counts['questions']:,}; "
            f"left out: {said or 'none'}")  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)
    try:
        print(summary(collect(args), args.out))
    except (UserError, OSError) as error:
        print(f"collect.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
