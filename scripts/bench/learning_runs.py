"""What learning.py starts in processes of their own: `python -m scripts.bench.learning_runs supervised|rejection|test`.

`supervised` goes on with the training that made the embedded policy, on new demonstrations of the same kind, at the
learning rate of RL. `rejection` is rejection sampling in rounds: solutions are sampled from the policy, those that the
grader calls right are learnt (train/mat/expert_iteration/sft.py), and the next round starts from what came of it (ReST;
Gulcehre et al., 2023). Both leave what a run of train.mat.train_llm leaves: `log.jsonl`, one row an evaluation, and the
policy in `last`. `test` judges a policy: FILE holds {problem id: 0 or 1}.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reason.common.command import Parser, positive
from reason.common.files import read_json, write_json

if TYPE_CHECKING:
    from envs.base_env import Problem, Task
    from train.mat.buffers.rollout import Rollout
    from train.mat.runner.collect import Collector

ROOT = Path(__file__).resolve().parents[2]
CARD = "openr-tiny-policy"
ENDLESS = "1e12"  # tokens: time ends the training
ROUND = 8  # updates' worth of questions of a round of rejection sampling
MOST = 4  # different right solutions of a question that are learnt
OTHER_DEMONSTRATIONS = 100  # added to the seed: the policy was made of seed 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = Parser(prog="learning_runs.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = p.add_subparsers(dest="kind", required=True)
    for name in ("supervised", "rejection"):
        a = kinds.add_parser(name).add_argument
        a("--policy", required=True, metavar="FOLDER", help="to start from")
        a("--out", type=Path, required=True, metavar="DIR")
        a("--seconds", type=float, required=True, help="of training, judging apart")
        a("--seed", type=int, default=0)
        a("--lr", type=float, required=True)
        a("--level", required=True)
        a("--limit", type=positive, required=True, help="training problems")
        a("--eval_limit", type=positive, required=True)
        a("--questions", type=positive, required=True, help="of an update")
        a("--group_size", type=positive, required=True, help="solutions of a question")
    a = kinds.add_parser("test").add_argument
    a("--policy", required=True, metavar="FOLDER")
    a("--out", type=Path, required=True, metavar="FILE")
    a("--level", required=True)
    a("--limit", type=positive, required=True)
    return p


def supervised(args: argparse.Namespace) -> None:
    """Continued supervised training of the embedded policy."""
    from train.tiny import train_policy

    dev = problems("dev", args)
    before = asyncio.run(accuracy(args.policy, dev))
    wanted = [
        "--out", f"{args.out}/last", "--init", args.policy, "--tokens", ENDLESS, "--max_seconds", str(args.seconds),
        "--batch_tokens", "2048", "--lr", str(args.lr), "--seed", str(OTHER_DEMONSTRATIONS + args.seed),
    ]  # fmt: skip
    spent = train_policy.train(train_policy.parser().parse_args(wanted))
    after = asyncio.run(accuracy(f"{args.out}/last", dev))
    first, last = [evaluated(0, before), evaluated(spent.updates, after, learning=spent.seconds)]
    (args.out / "log.jsonl").write_text(json.dumps(first) + "\n" + json.dumps(last) + "\n", encoding="utf-8")


def rejection(args: argparse.Namespace) -> None:
    """Rounds of sampling and fine-tuning; goes on behind the last one that is in the log."""
    train, dev, log = problems("train", args), problems("dev", args), args.out / "log.jsonl"
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    questions = ROUND * args.questions
    while True:
        done = len(rows) - 1  # rounds
        policy = f"{args.out}/round_{done}" if done > 0 else args.policy
        if not rows:
            rows.append(evaluated(0, asyncio.run(accuracy(policy, dev))))
        elif sum(row["seconds_sampling"] + row["seconds_learning"] for row in rows) >= args.seconds:
            break
        else:
            rows.append(asyncio.run(one_round(args, policy, done + 1, train, dev, questions)))
            rows[-1]["update"] += rows[-2]["update"]
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")
    shutil.copytree(policy, args.out / "last", dirs_exist_ok=True)


async def one_round(
    args: argparse.Namespace, policy: str, number: int, train: list[Problem], dev: list[Problem], questions: int
) -> dict[str, Any]:
    """Sample, keep what is right, fine-tune, judge; the row of the log, its updates those of this round."""
    collector = await collector_of(policy, train, args.seed, args.group_size)
    began = time.monotonic()
    rollouts = await collector.collect((number - 1) * questions, questions)
    await close(collector)
    rows = solutions_to_learn(collector.task, rollouts, args.seed)
    sampling = time.monotonic() - began
    data, out = args.out / f"solutions_{number}.jsonl", args.out / f"round_{number}"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    shutil.rmtree(out, ignore_errors=True)  # of a process that was ended in the middle
    command = [
        sys.executable, "-m", "train.mat.expert_iteration.sft", "--model_path", policy, "--card", CARD,
        "--data", data, "--output_dir", out, "--learning_rate", str(args.lr), "--seed", str(args.seed),
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True)
    for checkpoint in out.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    state = read_json(out / "trainer_state.json")
    learning = next(row["train_runtime"] for row in state["log_history"] if "train_runtime" in row)
    share = sum(one.outcome for one in rollouts) / len(rollouts)
    more = {"solutions": len(rollouts), "learnt": len(rows), "accuracy": share}
    return evaluated(state["global_step"], await accuracy(str(out), dev), sampling, learning) | more


def solutions_to_learn(task: Task, rollouts: Sequence[Rollout], seed: int) -> list[dict[str, str]]:
    """Lines of train/mat/expert_iteration/collect.py: at most MOST different right solutions of a question."""
    from train.mat.expert_iteration.collect import Found, choose

    found: dict[str, dict[str, Found]] = {}
    asked = {one.problem.id: one.problem for one in rollouts}
    for one in rollouts:
        if one.outcome and one.terminated:
            found.setdefault(one.problem.id, {})[one.text.strip()] = Found(one.problem.id, one.text, "")
    return [
        {"prompt": task.prompt(asked[key]), "completion": one.text, "id": key}
        for key, texts in found.items()
        for one in choose(list(texts.values()), MOST, f"{seed} {key}")
    ]


def test(args: argparse.Namespace) -> None:
    """Judge greedily on split test."""
    chosen = problems("test", args)
    right = asyncio.run(verdicts(args.policy, chosen))
    write_json(args.out, dict(zip([problem.id for problem in chosen], right, strict=True)))


def problems(split: str, args: argparse.Namespace) -> list[Problem]:
    """The first ones of a split of the task."""
    from envs.base_env import DataOptions, load_task

    limit = args.eval_limit if split == "dev" else args.limit
    return load_task("arithmetic").problems(DataOptions(split, limit=limit, level=args.level))


async def accuracy(policy: str, chosen: Sequence[Problem]) -> float:
    """Share of greedy solutions that are right."""
    right = await verdicts(policy, chosen)
    return sum(right) / len(right)


async def verdicts(policy: str, chosen: Sequence[Problem]) -> list[int]:
    """1 where the greedy solution is right, else 0: what `Collector.accuracy` says of each problem alone."""
    collector = await collector_of(policy, list(chosen), 0, 1)
    right = await asyncio.gather(*(collector.accuracy([problem]) for problem in chosen))
    await close(collector)
    return [int(one) for one in right]


async def collector_of(policy: str, chosen: list[Problem], seed: int, group_size: int) -> Collector:
    """What samples from the policy in `policy` and grades, as in train.mat.train_llm without a PRM."""
    from envs.base_env import load_task
    from envs.mdp import Draws
    from reason.inference.base import Sampling
    from train.mat.agents.policy import load
    from train.mat.arguments import RewardOptions, RolloutOptions
    from train.mat.runner.collect import Collector
    from train.mat.runner.engines import OwnLM

    task = load_task("arithmetic")
    loaded = load(policy, CARD, Sampling(1.0, 1.0, -1, task.max_new_tokens), "cpu", "fp32")
    lm = OwnLM(loaded, rows=1024)
    await lm.push(loaded.plain_weights())
    options = RolloutOptions(group_size=group_size)
    return Collector(task, Draws(chosen, seed), loaded, lm, task.grader(), None, RewardOptions(), options, seed)


async def close(collector: Collector) -> None:
    """End its threads."""
    await collector.lm.close()
    await collector.grader.close()


def evaluated(update: int, accuracy: float, sampling: float = 0.0, learning: float = 0.0) -> dict[str, Any]:
    """A row of log.jsonl."""
    return {"update": update, "eval_accuracy": accuracy, "seconds_sampling": sampling, "seconds_learning": learning}


if __name__ == "__main__":
    args = parser().parse_args()
    {"supervised": supervised, "rejection": rejection, "test": test}[args.kind](args)
