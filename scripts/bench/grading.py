"""Our grader beside Math-Verify on the same pairs. `python -m scripts.bench.grading --pairs FILE.jsonl`

One grading process each, started and warmed up before the clock; the pairs alternate between the graders, so that noise
meets both. Seconds are wall-clock seconds in the parent, from the pair to the verdict, with what each does to find the
answers in a text. FILE has rows as `python -m envs.grading` reads them, with `expected`; rows marked `disputed` are
left out. Without --pairs the hand-worked cases of the tests are used.
"""

from __future__ import annotations

import argparse
import re
import runpy
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from envs.grading import GradingPool, extract, extract_gold, without_pool
from reason.common.command import run_command
from reason.common.errors import UserError
from reason.common.rows import checked_rows
from scripts.bench.frame import Row, Rows, bench_rows
from scripts.bench.own_process import ROOT

MATH_VERIFY = (str(Path(__file__).with_name("math_verify_worker.py")),)
MATH_VERIFY_LIMIT = 30.0  # it bounds itself at 5 s a call
QUICK = 200  # pairs


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="grading.py", description="Compare graders on pairs with known verdicts.")
    parser.add_argument("--pairs", type=Path, help="JSONL file of pairs; default: the hand-worked cases of the tests")
    parser.add_argument("--quick", action="store_true", help=f"about {QUICK} of the pairs")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    args = parser.parse_args()
    return run_command(parser.prog, lambda: bench(args))


def bench(args: argparse.Namespace) -> None:
    """Compare the graders. Raises UserError, PoolError."""
    pairs = read_pairs(args.pairs)
    with bench_rows("grading", args.json, 15) as rows:
        measure(pairs[:: max(1, len(pairs) // QUICK)] if args.quick else pairs, rows)


def read_pairs(path: Path | None) -> list[Row]:
    """Rows with gold, pred, form and expected."""
    if path is None:
        cases = runpy.run_path(str(ROOT / "tests" / "envs" / "grading" / "cases.py"))
        return [
            {"gold": gold, "pred": pred, "form": "bare", "expected": expected}
            for name, expected in (("EQUAL", True), ("DIFFERENT", False))
            for pairs in cases[name].values()
            for gold, pred in pairs
        ]
    rows = [dict(row) for _, row in checked_rows(path) if row.get("kind") == "equiv" and not row.get("disputed")]
    if not rows or any(not isinstance(row.get("expected"), bool) for row in rows):
        raise UserError(f"{path}: rows of kind equiv with gold, pred and a boolean expected are needed")
    return rows


def measure(pairs: list[Row], rows: Rows) -> None:
    """One row a grader, of the pairs that were judged where it is interrupted."""
    pools = {
        "openr": GradingPool(processes=1, standby=0),
        "math-verify": GradingPool(
            processes=1, standby=0, limit=MATH_VERIFY_LIMIT, memory_mib=4096, worker=MATH_VERIFY
        ),
    }
    judges: dict[str, Callable[[Row], bool | None]] = {
        "openr": lambda pair: ours(pools["openr"], pair),
        "math-verify": lambda pair: theirs(pools["math-verify"], pair),
    }
    seconds: dict[str, list[float]] = {name: [] for name in judges}
    verdicts: dict[str, list[bool | None]] = {name: [] for name in judges}
    try:
        for pool in pools.values():
            pool.warm_up()
        for index, pair in enumerate(pairs):
            for name in list(judges)[:: 1 if index % 2 else -1]:
                started = time.perf_counter()
                verdicts[name].append(judges[name](pair))
                seconds[name].append(time.perf_counter() - started)
    finally:
        memory = {name: max(map(peak_mib, pool.pids()), default=0) for name, pool in pools.items()}
        for pool in pools.values():
            pool.close()
        if judged := min(map(len, seconds.values())):
            some = pairs[:judged]
            ours_row, their_row = (row(name, some, verdicts[name][:judged], seconds[name][:judged], memory[name])
                                   for name in judges)  # fmt: skip
            ours_row["vs_math_verify"] = round(ours_row["pairs_per_s"] / their_row["pairs_per_s"], 2)
            rows.add(ours_row)
            rows.add(their_row)


def ours(pool: GradingPool, pair: Row) -> bool | None:
    """True, False, or None when undecided."""
    gold, answer = pair["gold"], pair["pred"]
    if pair.get("form") == "text":
        gold, answer = extract_gold(gold), extract(answer)
    if answer is None:
        return False
    free = without_pool(gold, answer)
    return free.equal if free else pool.submit({"gold": gold, "answer": answer}).result()["equal"]


def theirs(pool: GradingPool, pair: Row) -> bool | None:
    """Bare golds in dollars and bare answers in a box, as Math-Verify's documentation has it; texts as they are."""
    gold, answer = pair["gold"], pair["pred"]
    if pair.get("form") != "text":
        gold, answer = f"${gold}$", f"\\boxed{{{answer}}}"
    return pool.submit({"gold": gold, "answer": answer}).result()["equal"]


def row(name: str, pairs: list[Row], verdicts: list[bool | None], seconds: list[float], memory: float) -> Row:
    """Shares are of all pairs, of the different pairs and of the equal pairs."""
    equal = [v is True for v in verdicts]
    wanted = [p["expected"] for p in pairs]
    accepts = sum(e and not w for e, w in zip(equal, wanted, strict=True))
    refusals = sum(w and not e for e, w in zip(equal, wanted, strict=True))
    ordered = sorted(seconds)
    return {
        "grader": name,
        "pairs": len(pairs),
        "pairs_per_s": round(len(pairs) / sum(seconds), 1),
        "median_ms": round(statistics.median(ordered) * 1000, 3),
        "p99_ms": round(ordered[int(0.99 * (len(ordered) - 1))] * 1000, 2),
        "accuracy": round(1 - (accepts + refusals) / len(pairs), 4),
        "false_accepts": round(accepts / max(1, wanted.count(False)), 4),
        "false_refusals": round(refusals / max(1, wanted.count(True)), 4),
        "memory_mib": round(memory, 1),
    }


def peak_mib(pid: int) -> float:
    """Peak resident memory of a process, where /proc tells it."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    match = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(match.group(1)) / 1024 if match else 0.0


if __name__ == "__main__":
    sys.exit(main())
