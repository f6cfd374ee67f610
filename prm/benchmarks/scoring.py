"""The PRM under test as a `RewardModel`, served, in this process or the oracle, and its scores of many cases."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from envs.base_env import Problem, Task
from prm.benchmarks.cases import Case, ScoredCases, Skips
from reason.common.concurrency import together
from reason.common.errors import UserError
from reason.inference import LocalOptions, open_rm
from reason.inference.base import ModelError, RewardModel, ServiceError, Unavailable
from reason.inference.fastchat import check_scores
from reason.inference.ledger import Ledger
from reason.model_cards.card import PRMCard


class Prm(NamedTuple):
    """A reward model and its name in the tables."""

    name: str
    model: RewardModel

    @property
    def card(self) -> PRMCard:
        """What the model is, and what its scores mean."""
        return self.model.card


@asynccontextmanager
async def opened(args: argparse.Namespace, task: Task | None = None) -> AsyncIterator[Prm]:
    """The model that --RM or --model_path names; `task` is what the oracle needs.

    Raises UserError. Only a model in this process imports torch.
    """
    name, shown = args.RM, args.RM
    if args.model_path is not None:
        name, shown = f"local:{args.model_path}", Path(args.model_path).name
    elif name.partition(":")[0] == "oracle" and task is None:
        raise UserError("this benchmark has no oracle: give the name of a served reward model, or --model_path")
    # no cache: solutions of a benchmark have little in common
    local = LocalOptions(
        device=args.device, base_model=args.base_model, trust_remote_code=args.trust_remote_code, cache_mb=0
    )
    async with open_rm(name, task=task, controller_addr=args.controller_addr, card=args.card, local=local) as rm:
        yield Prm(shown, rm)


async def score(prm: Prm, cases: Sequence[Case], num_worker: int, skips: Skips, name: str | None = None) -> ScoredCases:
    """Scores of all cases, `num_worker` requests in flight; a case without a score is skipped, or a UserError.

    Raises ServiceError when no worker answers: that is no fault of a case.
    """
    scores: list[list[float] | None] = [None] * len(cases)
    waiting = iter(range(len(cases)))
    failed: dict[int, ModelError] = {}
    every = 0.5 if sys.stderr.isatty() else 15.0  # seconds; a log file wants few lines
    with tqdm(total=len(cases), unit="solution", desc=name or prm.name, mininterval=every) as bar:

        async def worker() -> None:
            for i in waiting:
                try:
                    scores[i] = await scores_of(prm.model, cases[i])
                except Unavailable as error:
                    raise ServiceError(f"{cases[i].place}: {error}") from None
                except ModelError as error:
                    failed[i] = error
                    if not skips.allowed:
                        return
                bar.update()

        await together(worker() for _ in range(min(num_worker, len(cases))))
    for i in sorted(failed):
        skips.add(cases[i].place, failed[i])
    kept = [(case, its_scores) for case, its_scores in zip(cases, scores) if its_scores is not None]
    if not kept:
        raise ServiceError(f"{prm.name} has no score for any of {len(cases)} solutions; {skips.messages[-1]}")
    return ScoredCases(name or prm.name, [case for case, _ in kept], [its_scores for _, its_scores in kept])


async def scores_of(model: RewardModel, case: Case) -> list[float]:
    """One finite score a step. Raises ModelError."""
    solutions = [case.steps]
    return check_scores(await model.score(Problem(case.id, case.question, ""), solutions, Ledger()), solutions)[0]
