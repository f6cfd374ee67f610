"""What a question costs the client as runs grow: `python -m scripts.bench.scaling`

Best-of-16 runs of 100 to 500 questions on the same running services, each by evaluate.py in a process of its own,
whose processor time and memory the system counts:

- seconds_per_question: seconds of the run, from the first request to the last record, over its questions.
- client_cpu: milliseconds of processor time of the client a request (of its LM and PRM calls), less what a run of
  one question takes, which is almost all start-up; start_cpu is that run's, in seconds.
- client_mb: the largest resident memory of the client, in 10^6 bytes.
- seconds_ratio: seconds_per_question over that of the first row.

The questions are read from a file, as most tasks' are, so that what it takes to make up arithmetic ones (1.7 ms each)
is no part of it. The first run only warms the services up. Starts the services for the embedded models, or uses running
ones with --controller_addr.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from envs.base_env import DataOptions, load_task
from reason.common.command import run_command
from reason.evaluation import records
from reason.inference.base import ServiceError
from scripts.bench.frame import Rows, bench_rows
from scripts.bench.own_process import ROOT, run_counted
from scripts.bench.services import services

QUESTIONS = "questions.jsonl"  # in the folder of the runs


@dataclass
class Client:
    """A finished evaluate.py: its run folder, and what the system counted of its process."""

    folder: Path
    cpu_seconds: float  # user and system, of its grading processes too
    peak_mb: float

    def requests(self) -> int:
        """LM and PRM calls of the run."""
        ledger = records.read_averages(self.folder)["ledger"]
        return int(ledger["lm_calls"] + ledger["prm_calls"])


def main() -> int:
    """The command; returns its exit status."""
    p = argparse.ArgumentParser(prog="scaling.py", description="Measure the client as runs grow.")
    p.add_argument("--controller_addr", help="use running services instead of starting some")
    p.add_argument("--LM", default="openr-tiny-policy")
    p.add_argument("--RM", default="openr-tiny-prm")
    p.add_argument("--task_name", default="arithmetic")
    p.add_argument("--questions", nargs="+", type=int, default=[100, 200, 300, 400, 500], metavar="N")
    p.add_argument("--num_sequence", type=int, default=16, help="solutions a question; default %(default)s")
    p.add_argument("--num_worker", type=int, default=64, help="questions in flight; default %(default)s")
    p.add_argument("--quick", action="store_true", help="8 and 16 questions")
    p.add_argument("--json", type=Path, metavar="FILE")
    args = p.parse_args()
    if args.quick:
        args.questions = [8, 16]
    return run_command(p.prog, lambda: bench(args))


def bench(args: argparse.Namespace) -> None:
    """Measure with running services, or with such as are started for it."""
    with bench_rows("scaling", args.json, 20) as rows:
        if args.controller_addr:
            measure(args, rows)
        else:
            with services("scaling", args.LM, args.RM) as args.controller_addr:
                measure(args, rows)


def measure(args: argparse.Namespace, rows: Rows) -> None:
    """One row a number of questions."""
    with tempfile.TemporaryDirectory() as folder:
        write_questions(args, Path(folder) / QUESTIONS)
        evaluate(args, min(args.questions), 98, folder)  # with batches as large as those that follow
        start = evaluate(args, 1, 99, folder)
        for seed, questions in enumerate(args.questions):
            client = evaluate(args, questions, seed, folder)
            seconds = records.read_averages(client.folder)["seconds"] / questions
            requests = client.requests()
            row = {
                "questions": questions,
                "seconds_per_question": seconds,
                "seconds_ratio": seconds / (rows[0]["seconds_per_question"] if rows else seconds),
                "client_cpu": 1000 * (client.cpu_seconds - start.cpu_seconds) / (requests - start.requests()),
                "client_mb": client.peak_mb,
                "requests": requests,
                "start_cpu": start.cpu_seconds,
                "num_worker": args.num_worker,
                "size": args.LM,
            }
            rows.add(row)


def write_questions(args: argparse.Namespace, file: Path) -> None:
    """As many problems of the task as the largest run asks for."""
    problems = load_task(args.task_name).problems(DataOptions("test", limit=max(args.questions)))
    rows = ({"id": p.id, "question": p.question, "answer": p.answer} for p in problems)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def evaluate(args: argparse.Namespace, questions: int, seed: int, folder: str) -> Client:
    """One run of the CLI to its end. A seed of its own keeps each run from another's cached texts."""
    command = [
        sys.executable, str(ROOT / "reason/evaluation/evaluate.py"), "--LM", args.LM, "--RM", args.RM,
        "--method", "best_of_n", "--num_sequence", str(args.num_sequence), "--task_name", args.task_name,
        "--limit", str(questions), "--num_worker", str(args.num_worker), "--seed", str(seed),
        "--controller_addr", args.controller_addr, "--save_dir", folder, "--data_path", str(Path(folder) / QUESTIONS),
    ]  # fmt: skip
    ended = run_counted(command, errors_too=True)
    if ended.status:
        raise ServiceError(f"evaluate.py ended with status {ended.status}: {ended.said.strip().splitlines()[-1]}")
    where = Path(ended.said.split("Run folder: ")[1].splitlines()[0])
    return Client(where, ended.cpu_seconds, ended.peak_mb)


if __name__ == "__main__":
    sys.exit(main())
