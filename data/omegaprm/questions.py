"""The questions of a labelling run: a task's own, or a file as OpenR takes it."""

from __future__ import annotations

import argparse

from envs.base_env import DataOptions, Problem, Task
from envs.problems import from_file, problem_of, select


def questions(args: argparse.Namespace, task: Task) -> list[Problem]:
    """All questions of the run, shards taken together. Raises UserError."""
    if args.question_file is None:
        own = DataOptions(split=args.split, limit=args.limit, level=args.level, path_flag="--question_file")
        return task.problems(own)
    problems = from_file(args.question_file, lambda row, number: problem_of(row, task.gold, str(number)))
    return select(problems, DataOptions(limit=args.limit, level=args.level))
