"""Does policy RL learn? The embedded policy by every algorithm, for the same time, judged on held-out problems.

`python -m scripts.bench.learning --out DIR` trains each kind with each seed in DIR/KIND/seedN (what is finished is not
done again, what was stopped goes on), judges every policy greedily on the first problems of split `test`, which no
training or choice has seen, and prints a table. True accuracy by the grader throughout. Kinds:

- `grpo`: outcome reward alone;
- `appo`, `tppo`: the PRM's scores (default credit: differences) and the outcome, one to one;
- `appo_outcome`, `appo_prm_only`: one of the two alone;
- `appo_sum`: the PRM alone, its scores summed: each step pays, so that the policy is paid for more of them;
- `supervised`, `rejection`: baselines of as many seconds as the RL runs took in the mean, see learning_runs.py.

Columns: accuracy before and after, in percent (mean over seeds; the policy of the end, not the best); gain in points,
its standard deviation and range over seeds, and its 95 % interval over problems (paired bootstrap of the problems'
means over seeds); updates; solutions sampled; seconds of sampling and learning, judging apart; warnings of the guards
of all seeds. To reach: solutions sampled until an evaluation on `dev` first showed --reach (mean and range over the
seeds that did, and how many did); with labels: and the rollouts that made the PRM, for kinds with one.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reason.common.command import Parser, fraction, positive, run_command
from reason.common.errors import RunError, UserError
from reason.common.files import read_json, write_json
from reason.common.processes import ended_by_signals
from scripts.bench.learning_table import Run, read_run, row_of, table, with_prm
from scripts.bench.own_process import ROOT

MODELS = ROOT / "reason" / "llm_service" / "models"
POLICY, PRM = str(MODELS / "openr-tiny-policy"), ["--prm_name_or_path", str(MODELS / "openr-tiny-prm")]
APPO, TPPO = (["--algorithm_name", name, "--critic_lr", "3e-4"] for name in ("APPO", "TPPO"))
KINDS: dict[str, list[str]] = {  # arguments of train.mat.train_llm
    "grpo": ["--algorithm_name", "GRPO"],
    "appo": [*APPO, *PRM],
    "tppo": [*TPPO, *PRM],
    "appo_outcome": APPO,
    "appo_prm_only": [*APPO, *PRM, "--outcome_weight", "0"],
    "appo_sum": [*APPO, *PRM, "--outcome_weight", "0", "--credit", "sum"],
}
BASELINES = ("supervised", "rejection")
LR, TRAINING_PROBLEMS, SAVED_EVERY = 1e-4, 8000, 10
LABEL_ROLLOUTS = 37_134
SETTINGS, DONE, TEST, LOG = "settings.json", "done.json", "test.json", "output.log"
STATED = ("updates", "seconds", "questions", "group_size", "lr", "level", "eval_limit", "eval_interval", "test_limit")


class Failed(RunError):
    """A process did not come to its end; the message names its log."""


@dataclass(frozen=True)
class Job:
    """A process to be started, unless `finished` is there."""

    name: str
    command: list[str]
    log: Path
    finished: Path


def parser() -> argparse.ArgumentParser:
    """The command line."""
    names = [*KINDS, *BASELINES]
    p = Parser(prog="learning.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a = p.add_argument_group("runs").add_argument
    a("--out", type=Path, required=True, metavar="DIR", help="for the runs; repeat the command to go on")
    a("--kinds", nargs="+", choices=names, default=names, metavar="NAME", help=f"default: {' '.join(names)}")
    a("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="N", help="default: 0 1 2")
    a("--updates", type=positive, default=1000, help="of RL at most; default %(default)s")
    a("--seconds", type=float, default=1200.0, help="of RL at most, by sampling and learning; and of the baselines, "
      "where there is no RL run; default %(default)s")  # fmt: skip
    a("--parallel", type=positive, default=1, metavar="P", help="processes at a time; default %(default)s")
    a("--threads", type=positive, metavar="T", help="of each; default: the cores, divided")
    a("--questions", type=positive, default=32, help="of an update; default %(default)s")
    a("--group_size", type=positive, default=16, help="solutions of a question; default %(default)s")
    a("--lr", type=float, default=LR, help="of the policy, in all kinds; default %(default)s")
    a("--level", default="8", help="of the problems; default %(default)s")
    a("--eval_limit", type=positive, default=300, help="problems of split dev; default %(default)s")
    a("--eval_interval", type=positive, default=5, help="updates; default %(default)s")
    a("--test_limit", type=positive, default=1000, help="problems of split test; default %(default)s")

    a = p.add_argument_group("results").add_argument
    a("--reach", type=fraction, default=0.7, metavar="X", help="accuracy on dev to be reached; default %(default)s")
    a("--prm_rollouts", type=int, default=LABEL_ROLLOUTS, metavar="N", help="that the PRM was made of; default "
      "%(default)s, what `train/tiny/label_steps.py` told when the embedded PRM was made (make_models.sh): 14,555 and "
      "14,579 for the labels, of them 24,000 whole solutions (2,000 questions x 12) and the rest at wrong steps (8 "
      "each), and 2 x 4,000 solutions for its pretraining")  # fmt: skip
    a("--json", type=Path, metavar="FILE", help="the table's numbers and the curves")
    a("--figure", type=Path, metavar="PREFIX", help="curves: PREFIX.png and PREFIX.svg")
    return p


def state_settings(args: argparse.Namespace) -> None:
    """Note what all runs of the folder share; raises UserError where those in it are of other settings."""
    mine, path = {name: getattr(args, name) for name in STATED}, args.out / SETTINGS
    args.out.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        write_json(path, mine)
    stated = read_json(path)
    name = next((name for name in STATED if stated.get(name) != mine[name]), None)
    if name is not None:
        was = stated.get(name)
        raise UserError(f"the runs in {args.out} are of --{name} {was}, not {mine[name]}: give another --out")


def run_folder(folder: Path) -> Path:
    """Where the log and `last` are: RL makes a folder of its own below."""
    found = sorted(folder.glob("*/*/*/config.json"))
    return found[-1].parent if found else folder


def rl_job(args: argparse.Namespace, kind: str, seed: int) -> Job:
    """Training by train.mat.train_llm, or what is left of it."""
    folder = args.out / kind / f"seed{seed}"
    command = [
        sys.executable, "-m", "train.mat.train_llm", "--task_name", "arithmetic", "--model_name_or_path", POLICY,
        "--level", args.level, "--limit", str(TRAINING_PROBLEMS), "--questions", str(args.questions),
        "--group_size", str(args.group_size), "--lr", str(args.lr), "--eval_split", "dev",
        "--eval_limit", str(args.eval_limit), "--eval_interval", str(args.eval_interval),
        "--save_interval", str(SAVED_EVERY), "--num_updates", str(args.updates), "--max_seconds", str(args.seconds),
        "--seed", str(seed), "--save_dir", str(folder.resolve()), *KINDS[kind],
    ]  # fmt: skip
    started = run_folder(folder)
    if started != folder:
        command += ["--resume", str(started.resolve())]
    return Job(f"{kind} seed {seed}", command, folder / LOG, folder / DONE)


def baseline_job(args: argparse.Namespace, kind: str, seed: int, seconds: float) -> Job:
    """Training by learning_runs.py."""
    folder = args.out / kind / f"seed{seed}"
    command = [
        sys.executable, "-m", "scripts.bench.learning_runs", kind, "--policy", POLICY, "--out", str(folder.resolve()),
        "--seconds", f"{seconds:.1f}", "--seed", str(seed), "--lr", str(args.lr), "--level", args.level,
        "--limit", str(TRAINING_PROBLEMS), "--eval_limit", str(args.eval_limit), "--questions", str(args.questions),
        "--group_size", str(args.group_size),
    ]  # fmt: skip
    return Job(f"{kind} seed {seed}", command, folder / LOG, folder / DONE)


def test_job(args: argparse.Namespace, folder: Path, policy: Path | str) -> Job:
    """Accuracy on split test."""
    command = [
        sys.executable, "-m", "scripts.bench.learning_runs", "test", "--policy", str(policy),
        "--out", str((folder / TEST).resolve()), "--level", args.level, "--limit", str(args.test_limit),
    ]  # fmt: skip
    return Job(f"test of {policy}", command, folder / "test.log", folder / TEST)


def run_all(jobs: Sequence[Job], parallel: int, threads: int) -> None:
    """Start those that are not finished, so many at a time. Raises Failed where one fails, and ends the others."""
    waiting = [job for job in jobs if not job.finished.is_file()]
    running: list[tuple[Job, subprocess.Popen, float]] = []
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                job = waiting.pop(0)
                job.log.parent.mkdir(parents=True, exist_ok=True)
                with job.log.open("a", encoding="utf-8") as log:
                    process = subprocess.Popen(
                        job.command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )  # fmt: skip
                running.append((job, process, time.monotonic()))
                print(f"{job.name} ...", flush=True)
            time.sleep(0.2)
            for one in [one for one in running if one[1].poll() is not None]:
                job, process, began = one
                running.remove(one)
                if process.returncode:
                    raise Failed(f"{job.name} ended with status {process.returncode}: see {job.log}")
                if not job.finished.is_file():
                    write_json(job.finished, {"command": job.command, "threads": threads, "parallel": parallel})
                print(f"{job.name}: {time.monotonic() - began:.0f} s", flush=True)
    finally:
        for _, process, _ in running:
            os.killpg(process.pid, signal.SIGTERM)  # and what it started
            process.wait()


def results(args: argparse.Namespace, kinds: Sequence[str], needed: Sequence[str] = (DONE,)) -> dict[str, list[Run]]:
    """The runs of the wanted kinds and seeds whose folders have the needed files."""
    found: dict[str, list[Run]] = {}
    for kind in kinds:
        folders = [args.out / kind / f"seed{seed}" for seed in args.seeds]
        folders = [folder for folder in folders if all((folder / name).is_file() for name in needed)]
        found[kind] = [read_run(run_folder(folder), folder / TEST) for folder in folders]
    return {kind: runs for kind, runs in found.items() if runs}


def bench(args: argparse.Namespace) -> None:
    """Train, judge, tell, of what there is where it is interrupted. Raises UserError, Failed."""
    state_settings(args)
    threads = args.threads or max(1, (os.cpu_count() or 1) // args.parallel)
    with ended_by_signals():
        try:
            train_and_judge(args, threads)
        finally:
            if (args.out / TEST).is_file():
                tell(args, threads)


def train_and_judge(args: argparse.Namespace, threads: int) -> None:
    """Make the runs that are missing, then judge each on split test. Raises Failed."""
    rl = [kind for kind in KINDS if kind in args.kinds]
    baselines = [kind for kind in BASELINES if kind in args.kinds]
    run_all([rl_job(args, kind, seed) for seed in args.seeds for kind in rl], args.parallel, threads)
    took = [run.seconds for runs in results(args, list(KINDS)).values() for run in runs]
    seconds = sum(took) / len(took) if took else args.seconds
    jobs = [baseline_job(args, kind, seed, seconds) for seed in args.seeds for kind in baselines]
    run_all(jobs, args.parallel, threads)
    tests = [test_job(args, args.out, POLICY)]
    for kind in [*rl, *baselines]:
        folders = [args.out / kind / f"seed{seed}" for seed in args.seeds]
        tests += [test_job(args, folder, (run_folder(folder) / "last").resolve()) for folder in folders]
    run_all(tests, args.parallel, threads)


def tell(args: argparse.Namespace, threads: int) -> None:
    """The table of the runs that were judged, its file and its figure."""
    before = read_json(args.out / TEST)
    runs = results(args, [kind for kind in [*KINDS, *BASELINES] if kind in args.kinds], (DONE, TEST))
    if not runs:
        return
    labels = {kind: args.prm_rollouts if with_prm(KINDS.get(kind, [])) else 0 for kind in runs}
    rows = [row_of(kind, its, before, args.reach, labels[kind]) for kind, its in runs.items()]
    print("\n" + table(rows, args.reach))
    if args.json:
        curves = {kind: [run.curve for run in its] for kind, its in runs.items()}
        found = {"bench": "learning", "machine": machine(args, threads), "rows": rows, "curves": curves}
        write_json(args.json, found)
    if args.figure:
        from scripts.bench.learning_figure import draw

        print("\nWritten:", *draw(runs, args.figure), sep="\n    ")


def machine(args: argparse.Namespace, threads: int) -> dict[str, Any]:
    """Where it was measured, and with which settings."""
    from importlib.metadata import version

    found = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()}
    found |= {name: version(name) for name in ("torch", "transformers")}
    return found | {"threads": threads, "parallel": args.parallel} | {name: getattr(args, name) for name in STATED}


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)
    return run_command("learning", lambda: bench(args))


if __name__ == "__main__":
    sys.exit(main())
