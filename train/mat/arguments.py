"""The options of policy training, and what can be refused before a model is loaded. Imports nothing heavy.

Those of the algorithms are in trainers/.
"""

from __future__ import annotations

import argparse
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any

from reason.common.command import Parser
from reason.common.errors import UserError
from reason.common.options import add_options, check, fields_of, option, settled_options
from train.core.options import SHARDS
from train.mat.trainers import ALGORITHMS, Algorithm

GPU_MEMORY = 0.4


@dataclass(frozen=True)
class ModelOptions:
    """The policy, its adapter and its hardware, and the PRM."""

    model_name_or_path: str = option(MISSING, "the policy to start from, and the KL's reference", metavar="PATH")
    lm_card: str | None = option(None, "its card, where its folder or name does not tell", metavar="NAME")
    prm_name_or_path: str | None = option(
        None,
        "a PRM in this process; oracle or oracle:noise=E for tasks with an oracle; with --controller_addr the name of "
        "a served one",
        metavar="PATH",
    )
    prm_card: str | None = option(None, "its card, where its folder or name does not tell", metavar="NAME")
    prm_base_model: str | None = option(None, "of a PRM that is an adapter", metavar="PATH")
    controller_addr: str | None = option(None, "controller of a served PRM and of served rollouts", metavar="URL")
    lora_r: int | None = option(None, "train an adapter of this rank; default: all weights", metavar="R", least=1)
    lora_alpha: int = option(32, "the adapter's output is scaled by this / rank", least=1)
    quantize: str | None = option(None, "the base under an adapter in 4 bits (QLoRA); on a GPU", choices=("nf4",))
    lora_modules: tuple[str, ...] | None = option(
        None, "layers that get an adapter; default: all projections", metavar="NAME"
    )
    dtype: str | None = option(
        None,
        "of the arithmetic; weights that learn are fp32 either way; default: fp32 on a CPU, bf16 on a GPU",
        choices=("fp32", "bf16"),
    )
    device: str | None = option(None, "default: cuda where there is one", choices=("cpu", "cuda"))
    gradient_checkpointing: bool = option(False, "less memory, more time", switch=True)
    shard: str | None = option(
        None,
        "share what learns out to the processes of torchrun: gradients and optimizer (ZeRO-2), or weights, too, at any "
        "time (ZeRO-3); default: each has all of it; see train/core/sharding.py",
        choices=SHARDS,
    )
    trust_remote_code: bool = option(False, "run code that comes with the models", switch=True)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class QuestionOptions:
    """What is trained on and judged by."""

    task_name: str = option("arithmetic", "a folder of envs/")
    dataset_path: Path | None = option(
        None, "JSONL with question or problem, and answer; default: the task's own split train", metavar="FILE"
    )
    eval_dataset_path: Path | None = option(
        None, "held-out questions; default: the task's --eval_split", metavar="FILE"
    )
    eval_split: str = option("dev", "of the task's own questions")
    level: str | None = option(None, "only problems of this level")
    limit: int | None = option(None, "only the first training problems", least=1)
    eval_limit: int = option(200, "only the first held-out problems", least=1)
    drop_overlap: bool = option(
        False, "leave out training questions that are held out, instead of refusing", switch=True
    )

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RewardOptions:
    """Weights of the parts of a reward, and how process rewards come of step scores."""

    outcome_weight: float = option(1.0, "of a right answer, by the grader")
    process_weight: float | None = option(None, "of the PRM; default: 1 with a PRM, else 0")
    credit: str = option(
        "difference", "from PRM scores to step rewards; sum pays for more steps",
        choices=("difference", "min_form", "sum"),
    )  # fmt: skip
    format_weight: float = option(0.0, "taken off where a finished solution has no answer that can be read")
    length_weight: float = option(0.0, "taken off at most for length")
    length_from: float = option(0.8, "share of --max_new_tokens from which length costs", least=0, most=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RolloutOptions:
    """How solutions are sampled."""

    questions: int = option(32, "of an update", least=1)
    group_size: int = option(8, "solutions of a question", metavar="G", least=1)
    temperature: float = option(1.0, "of sampling")
    top_p: float = option(1.0, "of sampling")
    top_k: int = option(-1, "of sampling; -1 is off")
    max_new_tokens: int | None = option(None, "of a solution; default: the task's", least=1)
    max_steps: int | None = option(None, "of a solution; default: the task's", least=1)
    rollout_engine: str = option(
        "transformers",
        "transformers or vllm in this process; served: LM workers that were started with --allow-weight-updates",
        choices=("transformers", "vllm", "served"),
    )
    rollout_model: str | None = option(
        None,
        "served: the policy's name at --controller_addr; weights go to all its workers through the run's folder, which "
        "they must see under the same path",
        metavar="NAME",
    )
    rollout_gpu_memory: float | None = option(
        None, f"vllm: of the GPU's memory, beside the trainer's; default: {GPU_MEMORY}", metavar="SHARE", least=0,
        most=1,
    )  # fmt: skip
    overlap: bool = option(
        False,
        "sample for the next update while learning: from weights that are one update old, for which solutions are "
        "weighted by min(pi_now / pi_sampled, --importance_cap) in the loss; pays where sampling and learning do not "
        "share all their hardware; see runner/runner.py",
        switch=True,
    )
    rows: int = option(1024, "solutions under way in the sampler", least=1)

    def __post_init__(self) -> None:
        check(self)
        if self.temperature <= 0:
            raise UserError("--temperature must be above 0: greedy solutions of a question are all the same")
        if not 0 < self.top_p <= 1:
            raise UserError(f"--top_p must be above 0 and at most 1, not {self.top_p:g}")


@dataclass(frozen=True)
class LearningOptions:
    """How many updates there are, and the course of the learning rate over them."""

    num_updates: int = option(100, "batches of solutions", least=1)
    max_seconds: float | None = option(
        None,
        "of training, judging apart and resumed runs in all: the update that passes them is the last",
        metavar="S",
        above=0,
    )
    lr: float = option(1e-6, "learning rate of the policy", above=0)
    warmup_updates: int = option(0, "updates until the learning rate is reached", least=0)
    lr_schedule: str = option("constant", "linear: down to 0 at the end", choices=("constant", "linear"))
    weight_decay: float = option(0.0, "of the policy's weights", least=0)
    token_budget: int | None = option(None, "padded tokens of a forward pass; default: 4096, on a GPU 32768", least=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class RunOptions:
    """The run's folder."""

    experiment_name: str = option("", "part of the run's folder")
    save_dir: Path = option(Path("results"), "run folders go below it")
    resume: Path | None = option(None, "go on with a run, with the same arguments", metavar="RUN_DIR")
    save_interval: int = option(20, "updates between checkpoints", least=1)
    eval_interval: int = option(10, "updates between evaluations", least=1)
    seed: int = option(0, "of questions, samples and new weights")
    wandb: str | None = option(None, "log to Weights & Biases too", metavar="PROJECT")


GROUPS = {
    "models": ModelOptions, "data": QuestionOptions, "rewards": RewardOptions, "rollouts": RolloutOptions,
    "learning": LearningOptions, "run": RunOptions,
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """The command line. Defaults of None are filled by the algorithm, the task or the device."""
    p = Parser(prog="train_llm.py", description="Reinforcement learning of a policy LM.")
    for title, options in GROUPS.items():
        add_options(p.add_argument_group(title), options, settled=True)
    group = p.add_argument_group("algorithm")
    group.add_argument("--algorithm_name", choices=ALGORITHMS, default="GRPO", help="default %(default)s")
    for name, owners in owners_of_options().items():
        skip = fields_of(owners[0]).keys() - {name}
        note = "" if len(owners) == len(ALGORITHMS) else f"{', '.join(cls.__name__ for cls in owners)}: "
        add_options(group, owners[0], skip=skip, note=note, settled=True)
    return p


def owners_of_options() -> dict[str, list[type[Algorithm]]]:
    """Each option of an algorithm -> the algorithms that have it."""
    owners: dict[str, list[type[Algorithm]]] = {}
    for algorithm in ALGORITHMS.values():
        for name in fields_of(algorithm):
            owners.setdefault(name, []).append(algorithm)
    return owners


def check_arguments(args: argparse.Namespace, processes: int = 1) -> None:
    """Refuse what does not fit together or does not divide; fill in what follows from the rest. Raises UserError."""
    algorithm = ALGORITHMS[args.algorithm_name]
    for options in GROUPS.values():
        settled_options(args, options)
    for name, owners in owners_of_options().items():
        if algorithm not in owners and getattr(args, name) != usual(owners[0], name):
            of = " and ".join(cls.__name__ for cls in owners)
            raise UserError(f"--{name} is of --algorithm_name {of}: leave it out with {args.algorithm_name}")
    settled = settled_options(args, algorithm)
    args.kl_estimator = settled.estimator
    args.aggregation = "constant" if args.dr_grpo else args.aggregation
    if algorithm.compares and args.group_size < 2:
        raise UserError(f"{args.algorithm_name} compares the solutions of a question: --group_size must be at least 2")
    solutions = args.questions * args.group_size
    if solutions % args.num_mini_batch:
        raise UserError(
            f"--questions {args.questions} x --group_size {args.group_size} = {solutions} solutions do not divide into "
            f"--num_mini_batch {args.num_mini_batch}"
        )
    if args.questions % processes:
        raise UserError(f"--questions {args.questions} do not divide into {processes} processes")
    if args.process_weight is None:
        args.process_weight = float(args.prm_name_or_path is not None)
    if args.process_weight and args.prm_name_or_path is None:
        raise UserError("--process_weight needs a PRM: give --prm_name_or_path")
    _check_models(args, algorithm, processes)
    _check_rollouts(args)
    if args.wandb:
        _need("wandb", "--wandb")


def usual(options: type, name: str) -> Any:
    """The default of an option."""
    return fields_of(options)[name].default


def _check_models(args: argparse.Namespace, algorithm: type[Algorithm], processes: int) -> None:
    if args.shard and processes == 1:
        raise UserError(
            "--shard shares the model out to several processes: start them with torchrun --nproc_per_node=N"
        )
    if args.shard and args.quantize:
        raise UserError("--quantize nf4 keeps weights of 4 bits, which cannot be cut up: leave out --shard")
    if args.quantize:
        if not args.lora_r:
            raise UserError("--quantize nf4 is for the base of an adapter, 4-bit weights cannot learn: give --lora_r")
        _need("bitsandbytes", "--quantize nf4")
    if args.critic == "own" and args.lora_r:
        raise UserError("--critic own trains a whole copy of the policy: with --lora_r use --critic shared")
    if args.critic is None and algorithm.needs_critic:
        args.critic = "shared" if args.lora_r else "own"


def _check_rollouts(args: argparse.Namespace) -> None:
    served, own = args.rollout_engine == "served", args.rollout_engine == "vllm"
    if served and not (args.controller_addr and args.rollout_model):
        raise UserError("--rollout_engine served needs --controller_addr and --rollout_model")
    if args.rollout_model and not served:
        raise UserError("--rollout_model is of --rollout_engine served")
    if args.rollout_gpu_memory is not None and not own:
        raise UserError("--rollout_gpu_memory is of --rollout_engine vllm")
    args.rollout_gpu_memory = args.rollout_gpu_memory or GPU_MEMORY
    if own:
        _need("vllm", "--rollout_engine vllm")
    if args.overlap and not args.importance_cap:
        raise UserError("--overlap learns from solutions of older weights: --importance_cap must be above 0")


def _need(package: str, flag: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise UserError(f"{flag} needs the package {package}: pip install {package}")
