"""Grade from the command line.

    openr grade FILE.jsonl --out VERDICTS.jsonl        # the same as python -m envs.grading

FILE.jsonl has rows with id and kind: `equiv` (gold, pred; with `form` "text" both are texts to extract from) or
`extract` (pred). VERDICTS.jsonl gets id, verdict ("equal", "not_equal", "undecided") or extracted, reason, path and
seconds. Where rows carry `expected`, a table compares.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.base_env import Verdict
from envs.grading import GradingPool, MathGrader, extract, extract_gold
from reason.common.command import Parser, positive, run_command
from reason.common.errors import UserError
from reason.common.rows import checked_rows

PROG = "python -m envs.grading"
AnswerRow = dict[str, Any]  # of the file, or of the verdicts
VERDICTS = {True: "equal", False: "not_equal", None: "undecided"}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = Parser(PROG, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="JSONL file of answers to grade")
    parser.add_argument("--out", type=Path, required=True, help="JSONL file for the verdicts")
    parser.add_argument("--processes", type=positive, default=1, help="grading processes (default 1)")
    parser.add_argument("--limit", type=_seconds, default=3.0, help="seconds a comparison may take (default 3)")
    args = parser.parse_args(arguments)

    async def act() -> None:
        print(await grade_file(args.file, args.out, args.processes, args.limit))

    return run_command(PROG, act)


def _seconds(text: str) -> float:
    """A number above 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return seconds


async def grade_file(source: Path, target: Path, processes: int, limit: float) -> str:
    """Grade every row of `source` into `target`, in order; returns the text to print."""
    rows = [_checked(dict(row), place) for place, row in checked_rows(source)]
    if not rows:
        raise UserError(f"{source} holds no rows")
    pool = GradingPool(processes, limit)
    grader, slots = MathGrader(pool), asyncio.Semaphore(processes)

    async def graded(row: AnswerRow) -> AnswerRow:
        async with slots:
            return await grade_row(row, grader)

    try:
        await asyncio.to_thread(pool.warm_up)
        with target.open("w", encoding="utf-8", errors="backslashreplace") as file:
            results = await asyncio.gather(*map(graded, rows))
            file.writelines(json.dumps(result, ensure_ascii=False) + "\n" for result in results)
        summary = [f"{len(results)} rows graded, verdicts in {target}"]
        if any("expected" in row for row in rows):
            summary.append(await table(rows, results, grader))
        return "\n".join(summary)
    finally:
        await grader.close()


def _checked(row: AnswerRow, place: str) -> AnswerRow:
    kind = row.get("kind")
    if kind not in ("equiv", "extract"):
        raise UserError(f"{place}: field 'kind' must be equiv or extract, not {str(kind)[:40]!r}")
    for name in ("gold", "pred") if kind == "equiv" else ("pred",):
        if not isinstance(row.get(name), str):
            raise UserError(f"{place}: field {name!r} must be text")
    if "id" not in row:
        raise UserError(f"{place}: field 'id' is missing")
    return row


async def grade_row(row: AnswerRow, grader: MathGrader) -> AnswerRow:
    """The result of one row, with the seconds that it took."""
    started = time.perf_counter()
    if row["kind"] == "extract":
        result = {"id": row["id"], "extracted": extract(row["pred"]), "reason": "", "path": "extract"}
    else:
        gold, answer = row["gold"], row["pred"]
        if row.get("form") == "text":
            gold, answer = extract_gold(gold), extract(answer)
        verdict = Verdict(False, "no answer", "extract") if answer is None else await grader.equal(gold, answer)
        result = {"id": row["id"], "verdict": VERDICTS[verdict.equal], "reason": verdict.reason, "path": verdict.path}
    return {**result, "seconds": round(time.perf_counter() - started, 6)}


async def table(rows: Sequence[AnswerRow], results: Sequence[AnswerRow], grader: MathGrader) -> str:
    """Right, false accepts and false refusals by category; rows marked `disputed` stand apart."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])  # rows, right, accepts, refusals, undecided
    for row, result in zip(rows, results, strict=True):
        if "expected" not in row:
            continue
        if row["kind"] == "extract":
            found = result["extracted"]
            right = found == row["expected"] or (
                None not in (found, row["expected"]) and (await grader.equal(str(row["expected"]), found)).equal is True
            )
            accepted, wanted = right, True
        else:
            accepted, wanted = result["verdict"] == "equal", bool(row["expected"])
        groups = ["disputed"] if row.get("disputed") else ["all", f"{row['kind']} {row.get('category', '')}".strip()]
        for group in groups:
            count = counts[group]
            count[0] += 1
            count[1] += accepted == wanted
            count[2] += accepted and not wanted
            count[3] += wanted and not accepted
            count[4] += result.get("verdict") == "undecided"
    lines = [f"{'':32}{'rows':>6}{'right':>9}{'false accepts':>15}{'false refusals':>16}{'undecided':>11}"]
    for group in sorted(counts, key=lambda g: (g != "all", g == "disputed", g)):
        number, right, accepts, refusals, undecided = counts[group]
        lines.append(f"{group[:31]:32}{number:>6}{right / number:>9.2%}{accepts:>15}{refusals:>16}{undecided:>11}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
