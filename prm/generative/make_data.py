"""SFT data of generative judges: `python -m prm.generative.make_data FILE ... --card NAME --out FILE [--LM NAME]`.

FILEs hold labelled solutions in the common format of data/preprocess, or in OpenR's flat form. Each step with a label,
up to the first wrong one, becomes a row {"prompt", "completion"}. For a card without a rationale that is all. For a
reasoning judge, rationales are sampled from a served model and kept where the verdict they come to is the label:

    --RM NAME    a served judge writes them: any LM behind an LM worker that was started with `--card NAME`
    --LM NAME    the policy writes the step anew; the same step means good, another one bad

Exit status: 0, 1 when a model had no answer for some solutions (named on stderr), 2 for bad input.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from data.preprocess.common import STEP_TAG
from envs.base_env import load_task
from prm.benchmarks.cases import Case, Skips
from prm.generative.rationales import JudgeWriter, PolicyWriter, Writer, verified, with_template
from prm.generative.verdicts import VerdictRow, labelled, row
from prm.training.rows import read_files
from reason.common.command import Parser, positive, run_command
from reason.common.errors import UserError
from reason.common.files import json_line, whole_file
from reason.inference import open_lm, open_rm
from reason.inference.base import ModelError
from reason.inference.judge import JudgeRM
from reason.model_cards import card as cards
from reason.model_cards.card import PRMCard

PROG = "make_data.py"

Made = tuple[list[VerdictRow], Counter[str]]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog=PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a = p.add_argument
    a("files", type=Path, nargs="+", metavar="FILE", help="labelled solutions")
    a("--card", required=True, metavar="NAME", help="of the judge to be trained; its name, or a path to it")
    a("--out", type=Path, required=True, metavar="FILE")
    a("--RM", metavar="NAME", help="a served judge writes the rationales")
    a("--LM", metavar="NAME", help="the policy writes the rationales: the step anew")
    a("--samples", type=positive, default=4, help="rationales a step; default %(default)s")
    a("--seed", type=int, default=0, help="of the rationales; default %(default)s")
    a("--task_name", default="MATH", help="whose prompts --LM reads; default %(default)s")
    a("--limit", type=positive, metavar="N", help="the first N solutions of each file")
    a("--after_first_error", action="store_true", help="also the steps after the first wrong one")
    a("--skip_bad_rows", action="store_true", help="leave out, and count, rows that cannot be read")
    a("--controller_addr", default="http://127.0.0.1:28777", metavar="URL", help="default %(default)s")
    a("--num_worker", type=positive, default=64, help="solutions in flight; default %(default)s")
    return p


def judge_card(name: str) -> PRMCard:
    """The card of a generative judge. Raises UserError."""
    card = cards.find("", "prm", name)
    assert isinstance(card, PRMCard)
    if card.head != "generative":
        raise UserError(f"card {name!r} has head {card.head}: only a judge with head generative answers in words")
    return card


async def in_order(
    work: Iterable[Coroutine[None, None, Made | ModelError]], width: int
) -> AsyncIterator[Made | ModelError]:
    """The results of all coroutines in their order, at most `width` of them under way."""
    running: deque[asyncio.Task[Made | ModelError]] = deque()
    try:
        for coroutine in work:
            running.append(asyncio.create_task(coroutine))
            if len(running) >= width:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for task in running:
            task.cancel()


async def make(args: argparse.Namespace, cases: Sequence[Case], card: PRMCard, writer: Writer | None) -> Counter[str]:
    """Write the rows of each different step: one that several solutions share is asked about once. Returns counts."""
    counts, asked = Counter[str](), set[int]()

    def new_steps(case: Case) -> Iterator[int]:
        for index in labelled(case, args.after_first_error):
            key = hash((case.question, case.steps[: index + 1]))
            if key in asked:
                counts["repeated"] += 1
            else:
                asked.add(key)
                yield index

    async def made_of(case: Case, indices: list[int]) -> Made | ModelError:
        if writer is None:
            return [row(card, case, index) for index in indices], Counter()
        try:
            return await verified(card, writer, case, indices, args.samples, args.seed)
        except ModelError as error:
            return ModelError(f"{case.place}: {error}")

    with whole_file(args.out) as file:
        async for made in in_order((made_of(case, list(new_steps(case))) for case in cases), args.num_worker):
            counts["solutions"] += 1
            if isinstance(made, ModelError):
                counts["failed"] += 1
                print(f"{PROG}: {made}", file=sys.stderr)
                continue
            rows, numbers = made
            counts.update(numbers)
            for verdict_row in rows:
                counts["right" if verdict_row["label"] else "wrong"] += 1
                file.write(json_line(verdict_row))
        if not counts["right"] + counts["wrong"]:
            raise UserError(f"{args.out}: nothing to write, no step of {counts['solutions']} solutions gave a row")
    return counts


async def write_rows(args: argparse.Namespace) -> Counter[str]:
    """Write the file that the arguments ask for. Returns counts. Raises UserError."""
    card = judge_card(args.card)
    given = args.RM is not None, args.LM is not None
    if card.rationale is None and any(given):
        raise UserError(f"card {args.card!r} has no rationale: leave out --RM and --LM")
    if card.rationale is not None and given[0] == given[1]:
        raise UserError(
            f"the judge of card {args.card!r} writes rationales: give one model to write them, --RM or --LM"
        )
    skips = Skips(args.skip_bad_rows)
    cases = read_files(args.files, [STEP_TAG], skips, args.limit)
    for message in skips.messages:
        print(f"{PROG}: {message}; skipped", file=sys.stderr)
    if card.rationale is None:
        return await make(args, cases, card, None)
    if args.LM is not None:
        async with open_lm(args.LM, controller_addr=args.controller_addr) as policy:
            return await make(args, cases, card, PolicyWriter(card, policy, load_task(args.task_name)))
    async with open_rm(args.RM, controller_addr=args.controller_addr) as judge:
        if not isinstance(judge, JudgeRM):
            raise UserError(f"{args.RM!r} is no generative judge: start an LM worker with --card {args.card}")
        return await make(args, cases, card, JudgeWriter(with_template(card, judge.lm), judge.lm))


async def run(args: argparse.Namespace) -> int:
    """The command behind its arguments: 1 where a model had no answer. Raises UserError."""
    counts = await write_rows(args)
    print(f"{args.out}: " + ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in counts.items()))
    return int(counts["failed"] > 0)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run_command(PROG, partial(run, parser().parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
