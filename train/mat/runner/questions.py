"""Questions to train on and questions to judge by, kept apart by what they say."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import replace

from data.preprocess.stats import normalised
from envs.base_env import DataOptions, Problem, Task
from reason.common.errors import UserError
from reason.engine.loading import context_length
from reason.engine.request import EngineError, encode_prompt
from reason.inference.prompting import render
from train.mat.agents.policy import Policy

LOG = logging.getLogger(__name__)


def load(args: argparse.Namespace, task: Task) -> tuple[list[Problem], list[Problem]]:
    """(training problems, held-out problems). Raises UserError: unreadable, without answers, or not apart."""
    own = DataOptions("train", args.dataset_path, args.limit, None, args.level, path_flag="--dataset_path")
    others = DataOptions(
        args.eval_split, args.eval_dataset_path, args.eval_limit, None, args.level, path_flag="--eval_dataset_path"
    )
    train, held_out = _problems(task, own), _held_out(task, others)
    return apart(train, held_out, args.drop_overlap), held_out


def _held_out(task: Task, options: DataOptions) -> list[Problem]:
    """Of split dev, the default, and of split test where the task has no dev."""
    try:
        return _problems(task, options)
    except UserError:
        if options.data_path is not None or options.split != "dev":
            raise
        return _problems(task, replace(options, split="test"))


def askable(problems: Sequence[Problem], policy: Policy, task: Task, speaks: bool = True) -> list[Problem]:
    """The problems that the policy can be asked; the others are left out, and counted in one line on stderr.

    Left out are questions that are no text (a lone surrogate) and those that leave no room in the policy's context.
    Raises UserError when none is left.
    """
    context = context_length(policy.causal.config.get_text_config())
    kept, whys = [], []
    for problem in problems:
        try:
            tokens = len(encode_prompt(policy.tokenizer, render(policy.card, task.prompt(problem))))
        except EngineError as error:
            whys.append(f"{problem.id}: {error}")
            continue
        if tokens < context:
            kept.append(problem)
        else:
            whys.append(f"{problem.id}: the prompt has {tokens} tokens, the model's context {context}")
    if whys:
        said = f"{len(whys)} of {len(problems)} questions cannot be asked and are left out, such as {whys[0]}"
        if not kept:
            raise UserError(said)
        if speaks:
            print(f"note: {said}", file=sys.stderr)
    return kept


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
