"""Train a policy by reinforcement learning: `python -m train.mat.train_llm --model_name_or_path PATH ...`.

On several devices: `torchrun --nproc_per_node=2 -m train.mat.train_llm ...`, which learns the same (core/processes.py).
Each holds the whole model, its gradients and its optimizer, or with --shard a part (core/sharding.py). Of several
machines the first one writes the run's folder, and all read models, data and, to resume, that folder. torchrun's own
exit status is 1 for any failure.

Exit status: 0; 1 when training had to stop (NaN, a PRM that fails), with the last checkpoint kept, or when no update
had a gradient; 2 for bad input, one line on stderr; 130 on Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if __package__ in (None, ""):  # run as a file
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from reason.common.errors import RunError, UserError
from reason.common.files import locked, write_json
from reason.common.options import settled_options
from train.core.command import arithmetic_of, run_training, take_device
from train.core.processes import ALONE, Processes
from train.mat.arguments import LearningOptions, RewardOptions, RolloutOptions, RunOptions, check_arguments, parser
from train.mat.trainers import ALGORITHMS

if TYPE_CHECKING:
    from envs.base_env import Problem, Task
    from reason.inference.base import RewardModel, RolloutLM
    from train.mat.agents.policy import Policy
    from train.mat.models.critic import Critic
    from train.mat.runner.runner import Runner

PROG = "train_llm.py"


async def run(args: argparse.Namespace, processes: Processes = ALONE) -> None:
    """One run from its arguments to its end. Raises UserError, RunError."""
    from envs.base_env import load_task
    from train.mat.runner import folders, questions
    from train.mat.runner.engines import open_rollout_lm, prm, served_lm
    from train.mat.runner.guards import WITHOUT_GRADIENT
    from train.mat.runner.log import RunLog

    async with contextlib.AsyncExitStack() as stack:
        with processes.together():
            check_arguments(args, processes.size)
            device = take_device(args.device)
            if args.quantize and device == "cpu":
                raise UserError("--quantize nf4 needs a GPU: leave it out on a CPU")
        if args.shard:
            from train.core.sharding import Shards

            processes = Shards.of(processes, args.shard, device)
        with processes.together():
            task = load_task(args.task_name)
            train, held_out = questions.load(args, task)
            config = folders.manifest(args, train, held_out) | {"processes": processes.size}
            state = folders.resumable(args, config, processes)
            rm = await stack.enter_async_context(prm(args, task))
            served = await stack.enter_async_context(served_lm(args))
            folder = args.resume or folders.new(args)
        policy, critic = processes.in_turn(partial(models, args, task, device, processes))
        with processes.together():
            train, held_out = (questions.askable(part, policy, task, processes.first) for part in (train, held_out))
            options = settled_options(args, RolloutOptions)
            lm = await open_rollout_lm(
                options, policy, args.model_name_or_path, args.trust_remote_code, served, folder, processes
            )
            stack.push_async_callback(lm.close)
            runner = build(args, task, train, held_out, policy, critic, rm, lm, folder, processes)
            stack.push_async_callback(runner.collector.grader.close)
            if state is not None:
                runner.restore(state)
            log = None
            if processes.first:
                folder.mkdir(parents=True, exist_ok=True)
                write_json(folder / folders.CONFIG, config)
                stack.enter_context(locked(folder / folders.CONFIG))
                print(f"Run folder: {folder}", flush=True)
                log = RunLog(folder, args.num_updates, runner.done, config["arguments"], args.wandb)
                stack.callback(log.close)
        if args.overlap:
            runner.collector.processes = processes.apart()
        try:
            await runner.train(log)
        except RunError as error:
            kept = "checkpoints are kept, --resume goes on from the last one, if there is any"
            raise RunError(f"{error}; {kept}") from None
    if log is not None:
        print(log.summary(runner, len(held_out), args.max_seconds))
    if not runner.learnt:
        raise RunError(f"no solution of {runner.done} updates had a gradient, so the policy is the one that the run "
                       f"began with: {WITHOUT_GRADIENT}")  # fmt: skip


def models(args: argparse.Namespace, task: Task, device: str, processes: Processes) -> tuple[Policy, Critic | None]:
    """The policy and, for an algorithm with one, its critic, or this process's part of them. Raises UserError."""
    import torch

    from reason.inference.base import Sampling
    from train.mat.agents.policy import load, lora_of
    from train.mat.models.critic import Critic

    torch.manual_seed(args.seed)
    sampling = Sampling(args.temperature, args.top_p, args.top_k, args.max_new_tokens or task.max_new_tokens)
    policy = load(
        args.model_name_or_path, args.lm_card, sampling, "cpu" if args.shard else device,
        arithmetic_of(args.dtype, device), lora_of(args), args.kl_coef > 0, args.gradient_checkpointing,
        args.trust_remote_code,
    )  # fmt: skip
    critic = None
    if ALGORITHMS[args.algorithm_name].needs_critic:
        critic = Critic(policy.causal.base_model, policy.causal.config.get_text_config().hidden_size, args.critic)
    if args.shard:
        from train.core.sharding import Shards
        from train.mat.agents.sharded_policy import shard

        assert isinstance(processes, Shards)
        policy = shard(policy, critic, processes)
    return policy, critic


def build(
    args: argparse.Namespace, task: Task, train: list[Problem], held_out: list[Problem], policy: Policy,
    critic: Critic | None, rm: RewardModel | None, lm: RolloutLM, folder: Path, processes: Processes,
) -> Runner:  # fmt: skip
    """Everything that a run is made of, at its beginning."""
    import torch

    from envs.mdp import Draws
    from train.core.update import Learner
    from train.mat.runner.collect import Collector
    from train.mat.runner.runner import Runner
    from train.mat.trainers.trainer import Trainer

    rollouts, rewards = settled_options(args, RolloutOptions), settled_options(args, RewardOptions)
    learning = settled_options(args, LearningOptions)
    weights = policy.trainable()
    learners = [
        Learner("grad_norm", weights, torch.optim.AdamW(weights, lr=args.lr, weight_decay=args.weight_decay), args.lr)
    ]
    if critic is not None:
        weights = critic.trainable()
        optimizer = torch.optim.AdamW(weights, lr=args.critic_lr, weight_decay=0.0)
        learners.append(Learner("critic_grad_norm", weights, optimizer, args.critic_lr))
    algorithm = settled_options(args, ALGORITHMS[args.algorithm_name])
    budget = learning.token_budget or (4096 if policy.device.type == "cpu" else 32768)
    trainer = Trainer(policy, critic, algorithm, learners, budget, policy.sampling.max_tokens, processes)
    collector = Collector(
        task, Draws(train, args.seed), policy, lm, task.grader(), rm, rewards, rollouts, args.seed, processes
    )
    return Runner(collector, trainer, held_out, learning, settled_options(args, RunOptions), folder)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    args = parser().parse_args(arguments)

    async def act(processes: Processes) -> None:
        who = "" if processes.size == 1 else f"process {processes.rank} "
        logging.basicConfig(format=f"%(levelname)s {who}%(message)s", level=logging.WARNING)
        await run(args, processes)

    return run_training(PROG, act)


if __name__ == "__main__":
    sys.exit(main())
