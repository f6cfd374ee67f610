"""Train a policy by reinforcement learning: `python -m train.mat.train_llm --model_name_or_path PATH ...`.

On several devices: `torchrun --nproc_per_node=2 -m train.mat.train_llm ...`, which learns the same (processes.py). Each
holds the whole model, its gradients and its optimizer, or with --shard a part (sharding.py). Of several machines the
first one writes the run's folder, and all read models, data and, to resume, that folder. torchrun's own exit status is
1 for any failure.

Exit status: 0; 1 when training had to stop (NaN, a PRM that fails), with the last checkpoint kept; 2 for bad input, one
line on stderr; 130 on Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if __package__ in (None, ""):  # run as a file
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from reason.common.errors import RunError, UserError
from reason.common.files import locked, write_json
from reason.evaluation import records
from train.core.processes import ALONE, Processes, gpu_of_process, started
from train.mat.arguments import check, parser

if TYPE_CHECKING:
    from envs.base_env import Problem, Task
    from reason.inference.base import RewardModel
    from reason.inference.fastchat import FastChatLM
    from train.mat.agents.policy import Policy
    from train.mat.models.critic import Critic
    from train.mat.runner.generator import RolloutEngine
    from train.mat.runner.runner import Runner

MAY_CHANGE = {  # of a run that is resumed
    "resume", "num_updates", "max_seconds", "save_dir", "save_interval", "eval_interval", "wandb", "device",
    "token_budget", "rows", "controller_addr", "experiment_name", "rollout_model", "rollout_gpu_memory", "shard",
}  # fmt: skip


async def run(args: argparse.Namespace, processes: Processes = ALONE) -> int:
    """One run from its arguments to its exit status. Raises the errors that `main` names."""
    from envs.base_env import load_task
    from train.mat.runner.data import load
    from train.mat.runner.log import RunLog

    async with contextlib.AsyncExitStack() as stack:
        with processes.together():
            check(args, processes.size)
            device = take_device(args)
        if args.shard:
            from train.core.sharding import Shards

            processes = Shards.of(processes, args.shard, device)
        with processes.together():
            task = load_task(args.task_name)
            train, held_out = load(args, task)
            config = manifest(args, train, held_out) | {"processes": processes.size}
            state = resumable(args, config, processes)
            rm = await stack.enter_async_context(reward_model(args, task))
            served = await stack.enter_async_context(rollout_workers(args))
            folder = args.resume or new_folder(args)
        policy, critic = processes.in_turn(partial(models, args, task, device, processes))
        with processes.together():
            runner = build(args, task, train, held_out, policy, critic, rm, served, folder, processes)
            stack.push_async_callback(runner.collector.grader.close)
            stack.callback(runner.collector.generator.close)
            if state is not None:
                runner.restore(state)
            log = None
            if processes.first:
                folder.mkdir(parents=True, exist_ok=True)
                write_json(folder / records.CONFIG, config)
                stack.enter_context(locked(folder / records.CONFIG))
                print(f"Run folder: {folder}", flush=True)
                log = RunLog(folder, args.num_updates, runner.done, config["arguments"], args.wandb)
                stack.callback(log.close)
        if args.overlap:
            runner.collector.processes = processes.apart()
        await runner.train(log)
    if log is None:
        return 0
    first = next(row["eval_accuracy"] for row in log.rows if "eval_accuracy" in row)
    last = log.last.get("eval_accuracy", runner.best)
    if runner.done < args.num_updates:
        print(f"Stopped after {runner.done} of {args.num_updates} updates: --max_seconds {args.max_seconds:g}")
    print(f"Held-out accuracy on {len(held_out)} questions: {first:.3f} before, {last:.3f} at the end, "
          f"{runner.best:.3f} at best. Policies: {folder}/last, {folder}/best")  # fmt: skip
    return 0


def models(
    args: argparse.Namespace, task: Task, device: str, processes: Processes
) -> tuple[Policy, Critic | None]:  # fmt: skip
    """The policy and, for an algorithm with one, its critic, or this process's part of them. Raises UserError,
    UserError."""
    import torch

    from reason.inference.base import Sampling
    from train.mat.agents.policy import LoraOptions, load
    from train.mat.models.critic import Critic
    from train.mat.trainers import ALGORITHMS

    torch.manual_seed(args.seed)
    sampling = Sampling(args.temperature, args.top_p, args.top_k, args.max_new_tokens or task.max_new_tokens)
    lora = None
    if args.lora_r:
        modules = tuple(args.lora_modules) if args.lora_modules else LoraOptions.modules
        lora = LoraOptions(args.lora_r, args.lora_alpha, modules, args.quantize == "nf4")
    policy = load(
        args.model_name_or_path, args.lm_card, sampling, "cpu" if args.shard else device,
        args.dtype or ("fp32" if device == "cpu" else "bf16"), lora, args.kl_coef > 0, args.gradient_checkpointing,
        args.trust_remote_code,
    )  # fmt: skip
    critic = None
    if ALGORITHMS[args.algorithm_name].needs_critic:
        critic = Critic(policy.causal.base_model, policy.causal.config.get_text_config().hidden_size, args.critic)
    if args.shard:
        from train.mat.agents.sharded_policy import shard

        policy = shard(policy, critic, processes)
    return policy, critic


def build(
    args: argparse.Namespace, task: Task, train: list[Problem], held_out: list[Problem], policy: Policy,
    critic: Critic | None, rm: RewardModel | None, served: FastChatLM | None, folder: Path, processes: Processes,
) -> Runner:  # fmt: skip
    """Everything that a run is made of, at its beginning."""
    import torch

    from envs.mdp import Draws
    from train.core.update import Learner
    from train.mat.models.reward import RewardOptions
    from train.mat.runner.collect import Collector
    from train.mat.runner.guards import Guards
    from train.mat.runner.runner import Runner, Schedule
    from train.mat.trainers import ALGORITHMS
    from train.mat.trainers.options import Options
    from train.mat.trainers.trainer import Trainer

    algorithm, tokens = ALGORITHMS[args.algorithm_name], policy.sampling.max_tokens
    learners = [
        Learner(name, weights, torch.optim.AdamW(weights, lr=rate, weight_decay=decay), rate)
        for name, weights, rate, decay in (
            ("grad_norm", policy.trainable(), args.lr, args.weight_decay),
            ("critic_grad_norm", critic.trainable() if critic else [], args.critic_lr, 0.0),
        )
        if weights
    ]
    options = Options(
        gamma=args.gamma,
        gae_lambda=args.gae_lambda,
        token_lambda=args.token_lambda,
        clip_low=args.clip_param,
        clip_high=args.clip_param if args.clip_high is None else args.clip_high,
        ratio=args.ratio or algorithm.ratio,
        mean_ratio=args.mean_ratio,
        aggregation=args.aggregation or algorithm.aggregation,
        constant=tokens,
        supervision=args.supervision,
        by_std=not args.dr_grpo,
        kl_coef=args.kl_coef,
        kl_in=args.kl_in,
        kl_estimator=args.kl_estimator,
        entropy_coef=args.entropy_coef,
        value_clip=args.value_clip,
        huber_delta=args.huber_delta,
        value_loss_coef=args.value_loss_coef,
        importance_cap=args.importance_cap,
        epochs=args.ppo_epoch,
        minibatches=args.num_mini_batch,
        max_grad_norm=args.max_grad_norm,
    )
    budget = args.token_budget or (4096 if policy.device.type == "cpu" else 32768)
    trainer = Trainer(policy, critic, args.algorithm_name, options, learners, budget, processes)
    rewards = RewardOptions(
        args.outcome_weight, args.process_weight, args.format_weight, args.length_weight,
        int(args.length_from * tokens), tokens, args.credit,
    )  # fmt: skip
    engine = rollout_engine(args, policy, served, folder, processes)
    collector = Collector(
        task, Draws(train, args.seed), policy, engine, task.grader(), rm, rewards, args.group_size,
        args.max_steps or task.max_depth, args.seed, processes,
    )  # fmt: skip
    schedule = Schedule(
        args.num_updates, args.eval_interval, args.save_interval, args.questions,
        args.warmup_updates, args.lr_schedule == "linear",
        args.overlap, args.max_seconds,
    )  # fmt: skip
    return Runner(collector, trainer, held_out, schedule, folder, guards=Guards())


def rollout_engine(
    args: argparse.Namespace, policy: Policy, served: FastChatLM | None, folder: Path, processes: Processes
) -> RolloutEngine:
    """What solutions are sampled by; nothing is started yet."""
    from train.mat.runner.generator import Generator
    from train.mat.runner.served_generator import ServedGenerator
    from train.mat.runner.vllm_generator import VLLMGenerator

    if served is not None:
        return ServedGenerator(policy, served, folder / "weights", processes.first)
    if args.rollout_engine == "vllm":
        path, memory = args.model_name_or_path, args.rollout_gpu_memory
        return VLLMGenerator(policy, path, args.rows, memory, args.trust_remote_code)
    return Generator(policy, args.rows, own_weights=args.overlap)


def take_device(args: argparse.Namespace) -> str:
    """cpu, or cuda, which is from now on this process's GPU. Raises UserError where there is none for it."""
    import torch

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda":
        if not torch.cuda.is_available():
            raise UserError("--device cuda: torch sees no GPU here")
        number, count = gpu_of_process(), torch.cuda.device_count()
        if number >= count:
            raise UserError(f"each process needs a GPU of its own, but torch sees {count}: lower --nproc_per_node")
        torch.cuda.set_device(number)
    elif args.quantize:
        raise UserError("--quantize nf4 needs a GPU: leave it out on a CPU")
    return device


@contextlib.asynccontextmanager
async def reward_model(args: argparse.Namespace, task: Task) -> AsyncIterator[RewardModel | None]:
    """The PRM that was asked for, or None. Raises UserError."""
    from reason.inference import CONTROLLER, LocalOptions, open_rm

    name = args.prm_name_or_path
    if name is None or not args.process_weight:
        yield None
        return
    named = name.partition(":")[0] in ("local", "oracle")
    local = LocalOptions(
        device=args.device, base_model=args.prm_base_model, card_flag="--prm_card",
        trust_remote_code=args.trust_remote_code,
    )  # fmt: skip
    opening = open_rm(
        name if named or args.controller_addr else f"local:{name}", task=task, seed=args.seed, card=args.prm_card,
        controller_addr=args.controller_addr or CONTROLLER, local=local,
    )  # fmt: skip
    async with opening as rm:
        yield _fitting(args, rm)


@contextlib.asynccontextmanager
async def rollout_workers(args: argparse.Namespace) -> AsyncIterator[FastChatLM | None]:
    """The workers of --rollout_model, or None with another engine. Raises ServiceError."""
    if args.rollout_engine != "served":
        yield None
        return
    from reason.inference import open_lm
    from reason.inference.base import ServiceError
    from reason.inference.fastchat import FastChatLM

    async with open_lm(args.rollout_model, controller_addr=args.controller_addr) as served:
        if not isinstance(served, FastChatLM) or not served.details.get("weight_updates"):
            raise ServiceError(f"the workers of {args.rollout_model!r} keep their weights: start them with "
                               "--allow-weight-updates (LM_ARGS of the service scripts)")  # fmt: skip
        yield served


def _fitting(args: argparse.Namespace, rm: RewardModel) -> RewardModel:
    """Refuse a credit that makes no sense of the PRM's scores."""
    if args.credit == "min_form" and rm.card.meaning == "log_ratio":
        raise UserError(f"--credit min_form is of scores in [0, 1], but those of {rm.card.name} are log-ratios")
    return rm


def new_folder(args: argparse.Namespace) -> Path:
    """A folder for a new run; nothing is made yet."""
    stamp = time.strftime("%Y%m%d_%H%M%S")
    name = "_".join(filter(None, [args.experiment_name, stamp]))
    base = args.save_dir / args.task_name / args.algorithm_name
    return next(path for n in range(1000) if not (path := base / (f"{name}_{n}" if n else name)).exists())


def resumable(args: argparse.Namespace, config: dict[str, Any], processes: Processes) -> dict[str, Any] | None:
    """The checkpoint to go on from, None without one. Raises UserError where no run is there, or one
    of other arguments or data, and where another process writes it."""
    from train.mat.runner import checkpoint

    if args.resume is None:
        return None
    if not (args.resume / records.CONFIG).is_file():
        raise UserError(f"--resume {args.resume}: there is no run (no {records.CONFIG})")
    free = MAY_CHANGE - ({"num_updates"} if args.lr_schedule == "linear" else set())
    old = records.read_config(args.resume)
    if not isinstance(old, dict) or "arguments" not in old or "dataset" not in old:
        raise UserError(f"--resume {args.resume}: its {records.CONFIG} is not of a run of train_llm.py")
    difference = records.first_difference(old, config, free, ("arguments", "dataset"))
    if difference:
        raise UserError(f"--resume {args.resume}: {difference}; give the run's own value, or start a new run")
    if processes.first:
        locked(args.resume / records.CONFIG).close()
    return checkpoint.load_state(args.resume)


def manifest(args: argparse.Namespace, train: list[Problem], held_out: list[Problem]) -> dict[str, Any]:
    """What config.json holds: arguments, hashes of the questions, versions, commit."""
    from reason.evaluation.manifest import commit, dataset_hash, versions

    data = {"train": train, "held_out": held_out}
    return {
        "arguments": {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
        "dataset": {name: {"questions": len(p), "sha256": dataset_hash(p)} for name, p in data.items()},
        "versions": versions(),
        "commit": commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)
    from reason.inference.base import ModelError, ServiceError

    def status_of(processes: Processes) -> int:
        try:
            return asyncio.run(run(args, processes))
        except (UserError, ServiceError) as error:
            message, status = " ".join(str(error).split()), 2
        except (ModelError, RunError) as error:
            message, status = f"{error}; checkpoints are kept, --resume goes on from the last one, if there is any", 1
        except KeyboardInterrupt:
            return 130
        if processes.first:
            print(f"train_llm.py: {message}", file=sys.stderr)
        return status

    with started() as processes:
        who = "" if processes.size == 1 else f"process {processes.rank} "
        logging.basicConfig(format=f"%(levelname)s {who}%(message)s", level=logging.WARNING)
        status = status_of(processes)
        processes.leave(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
