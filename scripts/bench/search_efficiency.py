r"""Search efficiency: how close a search comes to what its engines can do. `python -m scripts.bench.search_efficiency`

    efficiency = floor / seconds of the run

on the same running services, one method after the other, each at a budget of 16 solutions on the same problems.

- LM floor: each question's whole solutions, every question at once, to the recorded lengths whatever the model
  writes (`ignore_eos`): for a question that generated G tokens in solutions of mean length L, round(G / L) samples
  of L tokens (L of all questions where a search ended without a solution). lm_rate is tokens a second of the faster
  of greedy and sampled text; the floor is the run's tokens at that rate.
- PRM floor: the run's generated tokens, each read once, at prm_rate: tokens computed a second at the best of
  several batch sizes, of best-of-N's solutions that no cache has seen, the same for every method: what a search
  leaves behind may be too few or too short texts to fill a batch.
- The floor is the larger of the two where LM and PRM have cores or devices of their own, their sum where they share.

The transformers worker computes once what samples of a request have in common, so its rate depends on how much that is,
which a floor of other texts cannot repeat: it is measured with --no-share-samples.

Starts the services for the embedded models, or uses running ones with --controller_addr. Arguments after `--` go to
evaluate.py. Models of a useful size (see make_135m.py):

    MODEL_BASE=models_135m LM_ARGS="--max-num-seqs 64" python -m scripts.bench.search_efficiency \
        --LM SmolLM2-135M --RM SmolLM2-135M-prm --limit 100 --prm_texts 100 \
        --methods best_of_n beam_search dvts -- --max_new_tokens 48 --max_step_tokens 12 --tree_max_depth 4

There best-of-N's solutions are all of one length, so that all would end at once and the PRM would begin when the LM is
done: with 64 samples under way one question's are scored while the next ones' are sampled.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from envs.base_env import Problem, load_task, split_steps
from reason.common.command import run_command
from reason.evaluation import records
from reason.inference import open_lm, open_rm
from reason.inference.base import ModelError, ServiceError
from reason.inference.fastchat import FastChatLM, FastChatRM
from reason.inference.prompting import render
from scripts.bench.frame import Row, Rows, bench_rows
from scripts.bench.own_process import ROOT
from scripts.bench.services import services

METHODS = {  # at a budget of 16 solutions
    "best_of_n": ["--num_sequence", "16"],
    "beam_search": ["--num_sequence", "4", "--tree_max_width", "4"],
    "dvts": ["--num_sequence", "4", "--tree_max_width", "4"],
    "vanila_mcts": ["--budget", "16", "--tree_max_width", "4"],
    "cot": [],
}
PRM_BATCHES = (4, 16, 64, 256)  # solutions a request


def main() -> int:
    """The command; returns its exit status."""
    p = argparse.ArgumentParser(
        prog="search_efficiency.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--controller_addr", help="use running services instead of starting some")
    p.add_argument("--LM", default="openr-tiny-policy")
    p.add_argument("--RM", default="openr-tiny-prm")
    p.add_argument("--task_name", default="arithmetic")
    p.add_argument("--limit", type=int, default=100, help="questions; default %(default)s")
    p.add_argument("--num_worker", type=int, default=128, help="questions in flight; default %(default)s")
    p.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    p.add_argument("--engine", choices=("transformers", "vllm"), default="transformers", help="of services that it "
                   "starts; default %(default)s")  # fmt: skip
    p.add_argument("--prm_texts", type=int, default=256, help="solutions at which the PRM's floor is measured, twice "
                   "at each batch size; default %(default)s")  # fmt: skip
    p.add_argument("--shared", action="store_true", help="LM and PRM share cores or a device: the floor is the sum")
    p.add_argument("--quick", action="store_true", help="16 questions")
    p.add_argument("--json", type=Path, metavar="FILE")
    p.add_argument("more", nargs="*", metavar="ARGUMENT", help="after --: further arguments of evaluate.py")
    args = p.parse_args()
    if args.quick:
        args.limit = min(args.limit, 16)
    args.shared = args.shared or (os.cpu_count() or 1) < 2
    return run_command(p.prog, lambda: bench(args))


def bench(args: argparse.Namespace) -> None:
    """Measure with running services, or with such as are started for it."""
    with bench_rows("search_efficiency", args.json, 12) as rows:
        if args.controller_addr:
            measure_all(args, rows)
        else:
            apart = ["--no-share-samples"] if args.engine == "transformers" else []
            lm_args = " ".join([*apart, os.environ.get("LM_ARGS", "")])
            with services("search_efficiency", args.LM, args.RM, engine=args.engine, lm_args=lm_args) as address:
                args.controller_addr = address
                measure_all(args, rows)


def measure_all(args: argparse.Namespace, rows: Rows) -> None:
    """One row a method."""
    with tempfile.TemporaryDirectory() as folder:
        texts = ["--num_sequence", str(-(-args.prm_texts // args.limit))]
        warm_up = evaluate(args, "best_of_n", texts, seed=99, folder=folder)
        prm_rate = asyncio.run(prm_tokens_a_second(args, records.read_records(warm_up)))
        for seed, method in enumerate(args.methods):
            run = evaluate(args, method, METHODS[method], seed, folder)
            row = asyncio.run(measure(args, method, run, None if method == "cot" else prm_rate))
            rows.add(row)


def evaluate(args: argparse.Namespace, method: str, settings: list[str], seed: int, folder: str) -> Path:
    """Run the CLI and return its run folder. A seed of its own keeps each method from another's cached texts."""
    words = [
        "--LM", args.LM, "--RM", args.RM, "--method", method, *settings, "--task_name", args.task_name,
        "--limit", str(args.limit), "--num_worker", str(args.num_worker), "--seed", str(seed),
        "--controller_addr", args.controller_addr, "--save_dir", folder, "--allow_errors", "0",
        *args.more,
    ]  # fmt: skip
    command = [sys.executable, str(ROOT / "reason/evaluation/evaluate.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise ServiceError((done.stderr.strip() or done.stdout.strip()).splitlines()[-1])
    return Path(done.stdout.split("Run folder: ")[1].splitlines()[0])


async def measure(args: argparse.Namespace, method: str, folder: Path, prm_rate: float | None) -> Row:
    """The row of a finished run: its figures, the floors, and their ratio."""
    averages, lines = records.read_averages(folder), records.read_records(folder)
    tokens, seconds = int(averages["ledger"]["generated_tokens"]), float(averages["seconds"])
    async with open_lm(args.LM, controller_addr=args.controller_addr) as lm:
        assert isinstance(lm, FastChatLM)
        if lm.details.get("share_samples"):
            raise ServiceError(f"start the worker of {args.LM} with --no-share-samples, see --help")
        lm_rate = await lm_tokens_a_second(lm, args.task_name, lines)
    floors = [tokens / rate for rate in (lm_rate, prm_rate) if rate is not None]
    floor = sum(floors) if args.shared else max(floors)
    return {
        "size": args.LM,
        "method": method,
        "efficiency": floor / seconds,
        "seconds": seconds,
        "floor": floor,
        "tokens": tokens,
        "lm_rate": lm_rate,
        "prm_rate": prm_rate,
        "questions": len(lines),
        "accuracy": averages["headline"],
        "engine": lm.details.get("engine"),
        "floor_is": "sum" if args.shared else "max",
    }


async def lm_tokens_a_second(lm: FastChatLM, task_name: str, lines: Sequence[records.Record]) -> float:
    """The LM's rate on whole solutions of the recorded number and lengths, all at once; see the module's text."""
    task = load_task(task_name)
    requests = []
    anywhere = [solution["num_tokens"] for line in lines for solution in line["output"]]
    if not anywhere:
        raise ServiceError("no question of the run has a solution: their length is not known, see --max_new_tokens")
    for line in lines:
        lengths = [solution["num_tokens"] for solution in line["output"]] or anywhere
        length = max(1, round(sum(lengths) / len(lengths)))
        samples = max(1, round(line["ledger"]["generated_tokens"] / length))
        problem = Problem(line["id"], line["question"], line["gold"])
        requests.append((render(lm.card, task.prompt(problem)), samples, length))
    return max([await _timed_generation(lm, requests, temperature) for temperature in (1.0, 0.0)])


async def _timed_generation(lm: FastChatLM, requests: list[tuple[str, int, int]], temperature: float) -> float:
    common = {"model": lm.pool.model, "temperature": temperature, "top_p": 1.0, "top_k": -1, "ignore_eos": True}
    payloads = [
        common | {"prompt": prompt, "n": n, "seeds": list(range(n)), "max_new_tokens": length, "continued": False}
        for prompt, n, length in requests
    ]
    started = time.monotonic()
    replies = await asyncio.gather(*(lm.pool.post("worker_generate", payload) for payload in payloads))
    seconds = time.monotonic() - started
    lengths = [reply["output_token_len"] for reply in replies]
    if any(set(got) != {length} for got, (_, _, length) in zip(lengths, requests)):
        raise ModelError("the LM worker does not honour ignore_eos: samples have other lengths than asked for")
    return sum(map(sum, lengths)) / seconds


async def prm_tokens_a_second(args: argparse.Namespace, lines: Sequence[records.Record]) -> float:
    """The PRM's best rate over batch sizes, in tokens computed, on the solutions of a run. Each stands behind its
    question with a number of its own, so that a cached prefix helps with none."""
    number = itertools.count()
    rates = []
    at = args.controller_addr
    async with open_lm(args.LM, controller_addr=at) as lm, open_rm(args.RM, controller_addr=at) as rm:
        if not isinstance(rm, FastChatRM):
            raise ServiceError(f"{args.RM} is a generative judge: the floor is of PRMs that read each token once")
        for batch in PRM_BATCHES * 2:
            inputs = [
                {
                    "question": f"{next(number)}. {line['question']}",
                    "steps": split_steps(solution["text"], lm.card.step_separator),
                }
                for line in lines
                for solution in line["output"]
                if solution["text"]
            ]
            batches = [inputs[i : i + batch] for i in range(0, len(inputs), batch)]
            started = time.monotonic()
            replies = await asyncio.gather(
                *(rm.pool.post("worker_value_inference", {"model": rm.pool.model, "inputs": b}) for b in batches)
            )
            seconds = time.monotonic() - started
            rates.append(sum(reply["usage"]["computed_tokens"] for reply in replies) / seconds)
    return max(rates)


if __name__ == "__main__":
    sys.exit(main())
