"""Conversion of about 100 MB of PRM800K-like JSONL: seconds and peak memory. `python -m scripts.bench.preprocess`

Rows are made up by a seeded generator in the two shapes of PRM800K: phase 1, where a third of the steps have up to five
alternatives and some go on from a human step, and phase 2, one completion a step and alternatives behind the first
error. Each row of the table is one fresh process; the reference reads each line with Python's json and writes it again.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.bench.frame import Row, Rows, bench_rows
from scripts.bench.own_process import run_counted

CLI, STATS = "data/preprocess/cli.py", "data.preprocess.stats"
MB = 1_000_000
FULL, QUICK = 100, 10  # MB of input
COPY = """
import json, sys
with open(sys.argv[1]) as source, open(sys.argv[2], "w") as copy:
    for line in source:
        copy.write(json.dumps(json.loads(line)) + "\\n")
"""
WORDS = (
    "we the of so that $x^2+3x$ \\frac{1}{2} equation both sides sum 42 17 = angle triangle therefore since number let "
    "factor prime $n$ divide by multiply gives total probability first second square root"
).split()


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="preprocess.py", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=FULL, metavar="N", help="of input; default %(default)s")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} MB")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    args = parser.parse_args()
    with bench_rows("preprocess", args.json) as rows, tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), QUICK if args.quick else args.megabytes, rows)
    return 0


def measure(folder: Path, megabytes: int, rows: Rows) -> None:
    """One row a command; `vs_json_copy` is its time over the reference's."""
    source, copy = folder / "prm800k.jsonl", folder / "copy.jsonl"
    rows_written = write(source, megabytes * MB)
    common, flat = folder / "prm800k.new.jsonl", folder / "prm800k.new.json"
    commands = {
        "json_copy": ([sys.executable, "-c", COPY, str(source), str(copy)], source, copy),
        "common": ([sys.executable, CLI, "prm800k", str(source)], source, common),
        "openr": ([sys.executable, CLI, "prm800k", "--openr", str(source)], source, flat),
        "statistics": ([sys.executable, "-m", STATS, str(common)], common, None),
    }
    for name, (command, read, written) in commands.items():
        started = time.perf_counter()
        ended = run_counted(command)
        seconds = time.perf_counter() - started
        if ended.status:
            raise subprocess.CalledProcessError(ended.status, command)
        row: dict[str, Any] = {"what": name, "rows": rows_written, "input_mb": round(read.stat().st_size / MB, 1)}
        row |= {"output_mb": round(written.stat().st_size / MB, 1) if written else 0.0}
        row |= {"seconds": round(seconds, 2), "cpu_s": round(ended.cpu_seconds, 2), "peak_mb": round(ended.peak_mb, 1)}
        rows.add(row | {"vs_json_copy": round(seconds / (rows or [row])[0]["seconds"], 2)})


def write(path: Path, size: int) -> int:
    """Write rows up to `size` bytes; returns their number."""
    draw, written, rows = random.Random(0), 0, 0
    with path.open("w") as file:
        while written < size:
            written += file.write(json.dumps(make_row(draw, phase=1 + rows % 2)) + "\n")
            rows += 1
    return rows


def make_row(draw: random.Random, phase: int) -> Row:
    """One trajectory of 3 to 20 steps."""
    steps = list[Row]()
    for _ in range(draw.randint(3, 20)):
        many = phase == 1 and draw.random() < 1 / 3
        completions = [completion(draw, 1)] + [completion(draw, draw.choice((-1, 0, 1))) for _ in range(4 * many)]
        human = None
        if phase == 1 and draw.random() < 0.03:
            completions = [completion(draw, -1)]
            human = {"text": sentence(draw), "rating": None, "source": "human", "flagged": False}
        chosen = None if human else 0
        steps.append({"completions": completions, "human_completion": human, "chosen_completion": chosen})
    question: Row = {"problem": sentence(draw, 3), "ground_truth_answer": str(draw.randint(0, 999))}
    if phase == 2:
        question["ground_truth_solution"] = sentence(draw, 5)
        question["pre_generated_steps"] = [step["completions"][0]["text"] for step in steps]
        steps[-1]["completions"] = [completion(draw, -1)] + [completion(draw, 1) for _ in range(3)]
        steps[-1]["chosen_completion"] = None
    return {
        "labeler": f"{draw.getrandbits(128):032x}",
        "timestamp": "2022-07-30T23:23:32.118856",
        "generation": None if phase == 1 else 6,
        "is_quality_control_question": False,
        "is_initial_screening_question": False,
        "question": question,
        "label": {"steps": steps, "total_time": 100_000, "finish_reason": "solution"},
    }


def completion(draw: random.Random, rating: int) -> Row:
    """A completion of one or two sentences."""
    return {"text": sentence(draw, draw.choice((1, 1, 2))), "rating": rating, "flagged": False}


def sentence(draw: random.Random, times: int = 1) -> str:
    """About 80 characters, `times` times."""
    return " ".join(draw.choices(WORDS, k=14 * times)) + "."


if __name__ == "__main__":
    sys.exit(main())
