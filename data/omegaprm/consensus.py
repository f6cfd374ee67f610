"""Consensus filtering (Zhang et al., 2025): keep the solutions on which Monte Carlo labels and a judge agree.

    python -m data.omegaprm.consensus FILE --output FILE --RM NAME [--threshold 0.5]      # a PRM judges
    python -m data.omegaprm.consensus FILE --output FILE --LM NAME                        # an LM is asked

FILE holds tree lines of run_omegaprm.py. A solution (a way from the question to a leaf) is kept when both place the
first error at the same label, or both find none. What no kept solution passes through leaves the tree; a question that
keeps no solution leaves the file. Each kept line says in `consensus` who judged, and how many solutions were kept,
dropped and unreadable (the judge's reply named no step; those are dropped).
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from data.omegaprm.output import LabelRecord, TreeNode, solutions
from envs.base_env import Problem, load_task, split_steps
from reason.common.command import Parser, fraction, positive, run_command
from reason.common.errors import UserError
from reason.common.files import json_line, whole_file
from reason.common.rows import checked_rows
from reason.inference import open_lm, open_rm
from reason.inference.base import LanguageModel, ModelError, RewardModel, Sampling
from reason.inference.ledger import Ledger
from reason.inference.prompting import render

PROG = "consensus.py"
NO_ERROR = -1  # as ProcessBench labels a solution without an error


class Judge(Protocol):
    """Finds the first wrong step of solutions."""

    @property
    def name(self) -> str:
        """For the record."""
        ...

    async def first_errors(
        self, problem: Problem, solutions: Sequence[Sequence[str]], ledger: Ledger
    ) -> list[int | None]:
        """For each solution the index of its first wrong step, NO_ERROR, or None when that cannot be told."""
        ...


@dataclass(frozen=True)
class PRMJudge:
    """The first step that a PRM scores below the threshold."""

    rm: RewardModel
    threshold: float = 0.5

    @property
    def name(self) -> str:
        """For the record."""
        return f"{self.rm.card.name} < {self.threshold:g}"

    async def first_errors(
        self, problem: Problem, solutions: Sequence[Sequence[str]], ledger: Ledger
    ) -> list[int | None]:
        """See `Judge`."""
        scored = await self.rm.score(problem, solutions, ledger)
        return [next((i for i, x in enumerate(scores) if x < self.threshold), NO_ERROR) for scores in scored]


@dataclass(frozen=True)
class LMJudge:
    """An LM that is asked for the number of the first wrong step."""

    lm: LanguageModel
    max_tokens: int = 2048

    @property
    def name(self) -> str:
        """For the record."""
        return self.lm.card.name

    async def first_errors(
        self, problem: Problem, solutions: Sequence[Sequence[str]], ledger: Ledger
    ) -> list[int | None]:
        """See `Judge`. Greedy; a reply whose last \\boxed{} holds no step's number is None."""
        sampling = Sampling(temperature=0.0, max_tokens=self.max_tokens, stop=self.lm.card.stop)
        prompts = [render(self.lm.card, judge_prompt(problem.question, steps)) for steps in solutions]
        replies = await asyncio.gather(*(self.lm.generate(p, sampling, [0], ledger) for p in prompts))
        return [read_reply(reply[0].text, len(steps)) for reply, steps in zip(replies, solutions)]


def judge_prompt(question: str, steps: Sequence[str]) -> str:
    """The request to an LM judge; steps are numbered from 0."""
    numbered = "\n".join(f"[{i}] {step.strip()}" for i, step in enumerate(steps))
    return (
        f"Problem:\n{question}\n\nA solution in numbered steps:\n{numbered}\n\n"
        "Check the steps in order. Which is the first that contains an error? "
        "End with its number in \\boxed{}, or with \\boxed{-1} if every step is right."
    )


def read_reply(text: str, steps: int) -> int | None:
    """The number in the last \\boxed{}, if it is one of 0 to steps - 1, or NO_ERROR."""
    boxes = re.findall(r"\\boxed\{\s*(-?\d{1,6})\s*\}", text[-20_000:], re.ASCII)
    number = int(boxes[-1]) if boxes else None
    return number if number is not None and NO_ERROR <= number < steps else None


async def filter_record(record: LabelRecord, judge: Judge) -> LabelRecord:
    """The record with the agreeing solutions alone, and its `consensus` counts. Raises ModelError."""
    ways = list(solutions(record))
    separator = record.get("separator", "\n\n")
    texts = [[split_steps(node["text"], separator) for node in way] for way in ways]
    problem = Problem(str(record["question_id"]), record["question"], record["final_answer"])
    flat = [[step for steps in way for step in steps] for way in texts]
    opinions = await judge.first_errors(problem, flat, Ledger()) if flat else []
    kept: set[int] = set()
    counts = Counter[str]()
    for way, steps, opinion in zip(ways, texts, opinions, strict=True):
        labelled = next((i for i, node in enumerate(way) if not node["label"]), NO_ERROR)
        if opinion is None:
            counts["unreadable"] += 1
        elif labelled == _label_of_step(steps, opinion):
            counts["kept"] += 1
            kept.update(map(id, way))
        else:
            counts["dropped"] += 1
    consensus = {"judge": judge.name} | {name: counts[name] for name in ("kept", "dropped", "unreadable")}
    return record | {"reasoning_steps": _prune(record["reasoning_steps"], kept), "consensus": consensus}


def _label_of_step(steps: Sequence[Sequence[str]], index: int) -> int:
    """The index of the label whose text holds step `index`; NO_ERROR stays."""
    if index == NO_ERROR:
        return NO_ERROR
    owners = [label for label, its_steps in enumerate(steps) for _ in its_steps]
    return owners[index]


def _prune(tree: TreeNode, kept: set[int]) -> TreeNode:
    """`tree` with the kept nodes alone, in place."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        node["children"] = [child for child in node["children"] if id(child) in kept]
        waiting += node["children"]
    return tree


async def filter_file(source: Path, output: Path, judge: Judge, num_worker: int) -> Counter[str]:
    """Write `output` in the file's order, `num_worker` questions in flight. Returns counts. Raises UserError."""
    totals, running = Counter[str](), deque[asyncio.Task[LabelRecord]]()
    with whole_file(output) as target:

        async def take() -> None:
            try:
                record = await running.popleft()
            except ModelError as error:
                totals["failed"] += 1
                print(f"{PROG}: {error}", file=sys.stderr)
                return
            totals.update({name: n for name, n in record["consensus"].items() if name != "judge"})
            totals["questions"] += 1
            if record["consensus"]["kept"]:
                target.write(json_line(record))

        try:
            for record in _lines(source):
                running.append(asyncio.create_task(filter_record(record, judge)))
                if len(running) >= num_worker:
                    await take()
            while running:
                await take()
        finally:
            for task in running:
                task.cancel()
    return totals


def _lines(source: Path) -> Iterator[LabelRecord]:
    for place, row in checked_rows(source):
        missing = [name for name in ("question_id", "question", "final_answer", "reasoning_steps") if name not in row]
        if missing or not isinstance(row["reasoning_steps"], dict) or "label" not in row["reasoning_steps"]:
            name = (missing or ["reasoning_steps"])[0]
            raise UserError(f"{place}: not a tree line of run_omegaprm.py (field {name!r})")
        yield row


async def run(args: argparse.Namespace) -> int:
    """The command behind its arguments: 1 where a question failed. Raises UserError."""
    if (args.RM is None) == (args.LM is None):
        raise UserError("give one judge: --RM NAME or --LM NAME")
    if args.LM is not None:
        async with open_lm(args.LM, controller_addr=args.controller_addr) as lm:
            totals = await filter_file(args.file, args.output, LMJudge(lm, args.max_new_tokens), args.num_worker)
    else:
        async with open_rm(args.RM, task=load_task(args.task_name), controller_addr=args.controller_addr) as rm:
            totals = await filter_file(args.file, args.output, PRMJudge(rm, args.threshold), args.num_worker)
    print(
        f"{args.output}: {totals['questions']} questions, {totals['failed']} failed; solutions: {totals['kept']} kept, "
        f"{totals['dropped']} dropped, {totals['unreadable']} not judged readably"
    )
    return int(totals["failed"] > 0)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    p = Parser(prog=PROG, description="Keep what labels and a judge agree on.")
    a = p.add_argument
    a("file", type=Path, metavar="FILE", help="tree lines of run_omegaprm.py")
    a("--output", type=Path, required=True, metavar="FILE")
    a("--RM", metavar="NAME", help="a reward model judges: served, local:FOLDER, or the task's oracle")
    a("--threshold", type=fraction, default=0.5, help="of the reward model's step scores; default %(default)s")
    a("--LM", metavar="NAME", help="an LM judges: served, or local:FOLDER")
    a("--max_new_tokens", type=positive, default=2048, help="of the LM's judgement; default %(default)s")
    a("--task_name", default="MATH", help="of --RM oracle; default %(default)s")
    a("--controller_addr", default="http://127.0.0.1:28777", metavar="URL", help="default %(default)s")
    a("--num_worker", type=positive, default=64, help="questions in flight; default %(default)s")
    return run_command(PROG, partial(run, p.parse_args(arguments)))


if __name__ == "__main__":
    sys.exit(main())
