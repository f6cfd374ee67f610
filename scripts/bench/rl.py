"""Policy RL: GRPO of this project against TRL's GRPOTrainer, on the embedded policy. `python -m scripts.bench.rl`

The same model, questions, solutions an update, longest solution, dtype (fp32), threads, updates, learning rate, loss
(clipped ratio of tokens, mean over a solution's tokens, no KL) and reward (the grader's verdict on the answer); each
trainer is a process of its own, so that its peak memory is its own. Rows:

- `trl`: the reference; it samples with transformers' `model.generate` and learns in passes of --micro_batch solutions;
- `ours_same_engine`: train/mat with `model.generate` as its sampler;
- `ours_best`: train/mat as it is, with this project's transformers engine.

samples_per_s: solutions that were sampled, rewarded and learnt from, a second, after a warm-up update.
seconds_sampling: of an update, rewards included; seconds_learning: the rest of it. peak_mb is the process's resident
memory, of which start_mb was there before the model was loaded (imported packages). with_gradient: the share of
solutions that have one: where all rewards of a group are the same it is 0, and train/mat computes none. Of the others
equal samples of a question go through once. vs_trl: samples_per_s over that of `trl`. TRL is needed for this benchmark
alone: see --trl_path.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scripts.bench.frame import Row, bench_rows
from scripts.bench.own_process import ROOT, in_own_process, megabytes

REFERENCE, SAME, BEST = "trl", "ours_same_engine", "ours_best"
TRAINERS = (REFERENCE, SAME, BEST)
OF_TRL = ("trl", "datasets", "pandas", "pyarrow", "multiprocess", "xxhash", "dill")  # beyond what the project needs
WARM_UP = 1  # updates
LR = 1e-6


def main() -> int:
    """The command; returns its exit status."""
    p = argparse.ArgumentParser(prog="rl.py", description="Measure policy RL against TRL.")
    p.add_argument("--model", default=str(ROOT / "reason/llm_service/models/openr-tiny-policy"), help="its folder")
    p.add_argument("--trl_path", type=Path, metavar="FOLDER", help="where TRL is installed, if not among the packages")
    p.add_argument("--level", default="5", help="of the arithmetic questions; default %(default)s")
    p.add_argument("--questions", type=int, default=32, help="of an update; default %(default)s")
    p.add_argument("--group_size", type=int, default=8, help="solutions of a question; default %(default)s")
    p.add_argument("--max_new_tokens", type=int, default=192, help="of a solution; default %(default)s")
    p.add_argument("--updates", type=int, default=5, help="measured; default %(default)s")
    p.add_argument("--threads", type=int, default=os.cpu_count(), help="CPU threads; default %(default)s")
    p.add_argument("--micro_batch", type=int, default=32, help="trl: solutions of a forward pass; default %(default)s")
    p.add_argument("--token_budget", type=int, default=4096, help="ours: padded tokens of a forward pass")
    p.add_argument("--quick", action="store_true", help="8 questions of 4 solutions, 2 updates; within a minute")
    p.add_argument("--json", type=Path, metavar="FILE")
    p.add_argument("--trainer", choices=TRAINERS, help=argparse.SUPPRESS)  # what a process of its own is started with
    args = p.parse_args()
    if args.quick:
        args.questions, args.group_size, args.updates = min(args.questions, 8), min(args.group_size, 4), 2
    args.micro_batch = min(args.micro_batch, args.questions * args.group_size)
    if args.questions * args.group_size % args.micro_batch:
        p.error(f"--micro_batch {args.micro_batch} does not divide the solutions of an update")
    if args.trl_path is not None:
        sys.path.append(str(args.trl_path))
    missing = [name for name in OF_TRL if find_spec(name) is None]
    if missing:
        folder = args.trl_path or "FOLDER"
        print(f"rl.py: {' and '.join(missing)} cannot be imported: pip install --no-deps --target {folder} "
              f"{' '.join(OF_TRL)}, then rl.py --trl_path {folder}", file=sys.stderr)  # fmt: skip
        return 2
    if args.trainer:
        print(json.dumps(measure(args)))
        return 0
    from importlib.metadata import version

    more = {name: version(name) for name in ("torch", "transformers", "trl")}
    environment = {"OMP_NUM_THREADS": str(args.threads), "TOKENIZERS_PARALLELISM": "false"}
    with bench_rows("rl", args.json, 16, threads=args.threads, dtype="fp32", **more) as rows:
        for name in TRAINERS:
            row = in_own_process("scripts.bench.rl", name, environment)
            rows.add(row | {"vs_trl": row["samples_per_s"] / (rows or [row])[0]["samples_per_s"]})
    return 0


def measure(args: argparse.Namespace) -> Row:
    """Train, and tell the row of it."""
    import torch

    from envs.base_env import DataOptions, load_task

    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    task = load_task("arithmetic")
    problems = task.problems(DataOptions("train", limit=args.questions * (args.updates + WARM_UP), level=args.level))
    train = with_trl if args.trainer == REFERENCE else with_ours
    start, marks = train(args, task, problems)
    measured = marks[WARM_UP:]
    seconds, sampling = (sum(mark[i] for mark in measured) / len(measured) for i in (0, 1))
    return {
        "trainer": args.trainer, "samples_per_s": args.questions * args.group_size / seconds, "peak_mb": 0.0,
        "start_mb": round(start, 1), "seconds_sampling": sampling, "seconds_learning": seconds - sampling,
        "tokens": sum(mark[2] for mark in measured) / len(measured),
        "reward": sum(mark[3] for mark in measured) / len(measured),
        "with_gradient": sum(mark[4] for mark in measured) / len(measured), "updates": len(measured), "vs_trl": 0.0,
    }  # fmt: skip


# An update: seconds, of these sampling, tokens and reward a solution, share of solutions with a gradient.
Marks = list[tuple[float, float, float, float, float]]


def with_trl(args: argparse.Namespace, task: Any, problems: Sequence[Any]) -> tuple[float, Marks]:
    """(resident megabytes before the model, marks of all updates)."""
    import resource
    from importlib import import_module

    utilities = vars(import_module("trl.import_utils"))
    utilities["is_vllm_available"] = lambda *_, **__: False  # it is not used, only imported
    from datasets import Dataset
    from datasets.table import InMemoryTable
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    from envs.mdp import Draws

    start = megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    grader, marks, solutions = task.grader(), list[Any](), list[Any]()
    clock = {"began": 0.0, "sampling": 0.0}

    async def right(completions: list[str], completion_ids: list[list[int]], answer: list[str], **_: Any) -> list:
        async def one(text: str, gold: str) -> float:
            found = task.extract(text)
            return float(found is not None and (await grader.equal(gold, found)).equal is True)

        rewards = list(await asyncio.gather(*map(one, completions, answer)))
        solutions.extend((len(ids), reward) for ids, reward in zip(completion_ids, rewards))
        return rewards

    class Timed(GRPOTrainer):
        def _generate_and_score_completions(self, inputs: Any) -> Any:
            began = time.perf_counter()
            found = super()._generate_and_score_completions(inputs)
            clock["sampling"] += time.perf_counter() - began
            return found

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if not clock["began"]:
                clock["began"] = time.perf_counter()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            now = time.perf_counter()
            marks.append((now - clock["began"], clock["sampling"], *means(solutions), 1.0))
            clock.update(began=now, sampling=0.0)
            solutions.clear()

    with tempfile.TemporaryDirectory() as folder:
        options = GRPOConfig(
            output_dir=folder, max_steps=len(problems) // args.questions, per_device_train_batch_size=args.micro_batch,
            gradient_accumulation_steps=args.questions * args.group_size // args.micro_batch, learning_rate=LR,
            lr_scheduler_type="constant", num_generations=args.group_size, max_completion_length=args.max_new_tokens,
            temperature=1.0, beta=0.0, loss_type="grpo", num_iterations=1, shuffle_dataset=False,
            model_init_kwargs={"dtype": "float32"}, bf16=False, fp16=False, use_cpu=True, gradient_checkpointing=False,
            save_strategy="no", logging_strategy="no", report_to=[], disable_tqdm=True, dataloader_pin_memory=False,
        )  # fmt: skip
        rows = [
            {"prompt": problem.question + "\n", "answer": problem.answer}
            for problem in Draws(problems, 0).take(0, len(problems))
        ]
        data = Dataset(InMemoryTable.from_pylist(rows), fingerprint="rl")  # its own one would pickle pyarrow's types
        Timed(args.model, right, options, data, callbacks=[Clock()]).train()
    return start, marks


def means(solutions: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Of tokens and rewards."""
    tokens, rewards = zip(*solutions)
    return sum(tokens) / len(tokens), sum(rewards) / len(rewards)


def with_ours(args: argparse.Namespace, task: Any, problems: Sequence[Any]) -> tuple[float, Marks]:
    """(resident megabytes before the model, marks of all updates)."""
    import resource

    import torch

    from envs.mdp import Draws
    from reason.inference.base import Sampling
    from train.core.update import Learner
    from train.mat.agents.policy import load
    from train.mat.arguments import RewardOptions, RolloutOptions
    from train.mat.runner.collect import Collector
    from train.mat.runner.engines import OwnLM
    from train.mat.trainers.grpo import GRPO
    from train.mat.trainers.trainer import Trainer

    start = megabytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    policy = load(args.model, None, Sampling(1.0, 1.0, -1, args.max_new_tokens), "cpu", "fp32")
    weights = policy.trainable()
    learner = Learner("grad_norm", weights, torch.optim.AdamW(weights, lr=LR, weight_decay=0.0), LR)
    cap = 2.0 if args.trainer == BEST else 0.0  # model.generate tells no log-probabilities to correct by
    trainer = Trainer(policy, None, GRPO(importance_cap=cap), [learner], args.token_budget, args.max_new_tokens)
    lm: Any = OwnLM(policy, rows=256) if args.trainer == BEST else AllAtOnce(policy)
    options = RolloutOptions(group_size=args.group_size)
    collector = Collector(task, Draws(problems, 0), policy, lm, task.grader(), None, RewardOptions(), options, 0)

    async def updates() -> Marks:
        marks = []
        await lm.push(policy.plain_weights())
        for update in range(len(problems) // args.questions):
            began = time.perf_counter()
            rollouts = await collector.collect(update * args.questions, args.questions)
            sampled = time.perf_counter()
            with_gradient = trainer.learn(rollouts, update)["with_gradient"]
            await lm.push(policy.plain_weights())
            solutions = [(len(one.token_ids), one.outcome) for one in rollouts]
            marks.append((time.perf_counter() - began, sampled - began, *means(solutions), with_gradient))
        await lm.close()
        await collector.grader.close()
        return marks

    return start, asyncio.run(updates())


class AllAtOnce:
    """Samples with transformers' `model.generate`: all solutions that are asked for together are one padded batch."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy
        self.model: Any = None
        self.waiting: list[tuple[list[int], int, Any, asyncio.Future]] = []  # prompt, samples, sampling, their future

    async def push(self, weights: Any) -> None:
        """Take the policy's weights, which the sampler shares."""
        self.model = self.policy.sampler("sdpa")

    async def close(self) -> None:
        """Nothing runs."""

    async def generate(self, prompt_ids: list[int], sampling: Any, seeds: Sequence[int], ledger: Any) -> list[Any]:
        """One solution a seed; seeds are torch's own here."""
        loop = asyncio.get_running_loop()
        if not self.waiting:
            loop.call_soon(self._sample)  # behind all that are to ask in this turn of the loop
        future = loop.create_future()
        self.waiting.append((prompt_ids, len(seeds), sampling, future))
        return await future

    def _sample(self) -> None:
        import torch

        from reason.engine.request import decode_continuation
        from reason.inference.base import Sample

        waiting, self.waiting = self.waiting, []
        prompts = [ids for ids, count, _, _ in waiting for _ in range(count)]
        longest = max(map(len, prompts))
        pad = self.policy.tokenizer.pad_token_id
        with torch.no_grad():
            found = self.model.generate(
                input_ids=torch.tensor([[pad] * (longest - len(ids)) + ids for ids in prompts]),
                attention_mask=torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts]),
                max_new_tokens=min(sampling.max_tokens for _, _, sampling, _ in waiting), do_sample=True,
                temperature=1.0, top_p=1.0, top_k=0, pad_token_id=pad, eos_token_id=sorted(self.policy.end_ids),
            )[:, longest:].tolist()  # fmt: skip
        samples = []
        for ids, tokens in zip(prompts, found):
            length = next((i for i, token in enumerate(tokens) if token in self.policy.end_ids), None)
            kept = tokens if length is None else tokens[: length + 1]
            text = decode_continuation(self.policy.tokenizer, ids, tokens[:length])
            reason = "length" if length is None else "stop"
            samples.append(Sample(text, len(kept), reason, 0.0, tuple(kept)))
        for _, count, _, future in waiting:
            future.set_result(samples[:count])
            samples = samples[count:]


if __name__ == "__main__":
    sys.exit(main())
