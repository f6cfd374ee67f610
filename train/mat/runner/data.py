"""Questions to train on and questions to judge by, kept apart by what they say."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence

from data.preprocess.stats import normalised
from envs.base_env import DataOptions, Problem, Task
from reason.common.errors import UserError

LOG = logging.getLogger(__name__)


def load(args: argparse.Namespace, task: Task) -> tuple[list[Problem], list[Problem]]:
    """(training problems, held-out problems). Raises UserError: unreadable, without answers, or not apart."""
    own = DataOptions("train", args.dataset_path, args.limit, None, args.level, path_flag="--dataset_path")
    others = DataOptions(
        args.eval_split, args.eval_dataset_path, args.eval_limit, None, args.level, path_flag="--eval_dataset_path"
    )
    train, held_out = _problems(task, own), _problems(task, others)
    return apart(train, held_out, args.drop_overlap), held_out


def _problems(task: Task, options: DataOptions) -> list[Problem]:
    try:
        return task.problems(options)
    except UserError as error:
        raise UserError(f"{options.path_flag}: {error}" if options.data_path else str(error)) from None


def apart(train: Sequence[Problem], held_out: Sequence[Problem], drop: bool) -> list[Problem]:
    """The training problems without those that are held out; with any, raises UserError unless they are to be dropped.

    Questions are compared without case, spacing and typesetting.
    """
    known = {normalised(problem.question) for problem in held_out}
    kept = [problem for problem in train if normalised(problem.question) not in known]
    overlap = len(train) - len(kept)
    if overlap and not drop:
        first = next(problem for problem in train if normalised(problem.question) in known)
        raise UserError(
            f"{overlap} of {len(train)} training questions are held out too, such as {first.id}: "
            f"{first.question[:60]!r}; give other files, or --drop_overlap"
        )
    if not kept:
        raise UserError("no training question is left: all are held out")
    if overlap:
        LOG.warning("%d of %d training questions are held out and are not trained on", overlap, len(train))
    return kept
