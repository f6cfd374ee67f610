"""The command line of policy training, and what can be refused before a model is loaded. Imports nothing heavy."""

from __future__ import annotations

import argparse
from pathlib import Path

from reason.common.command import Parser, fraction, positive
from reason.common.errors import UserError
from reason.inference.base import Sampling

ALGORITHMS = ("APPO", "TPPO", "GRPO", "RLOO")
GROUPED = {"GRPO", "RLOO"}
ROLLOUT_ENGINES = ("transformers", "vllm", "served")
SHARDS = ("gradients", "weights")
GPU_MEMORY = 0.4
CRITIC_ONLY = ("critic", "critic_lr", "gamma", "gae_lambda", "token_lambda", "value_clip", "value_loss_coef")


def number(text: str) -> float:
    """A number above 0."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")
    return value


def parser() -> argparse.ArgumentParser:
    """The command line. Defaults of None are filled by the algorithm, the task or the device."""
    p = Parser(prog="train_llm.py", description="Reinforcement learning of a policy LM.")
    g = p.add_argument_group("models").add_argument
    g("--model_name_or_path", required=True, metavar="PATH", help="the policy to start from, and the KL's reference")
    g("--lm_card", metavar="NAME", help="its card, where its folder or name does not tell")
    g("--prm_name_or_path", metavar="PATH", help="a PRM in this process; oracle or oracle:noise=E for tasks with an "
      "oracle; with --controller_addr the name of a served one")  # fmt: skip
    g("--prm_card", metavar="NAME", help="its card, where its folder or name does not tell")
    g("--prm_base_model", metavar="PATH", help="of a PRM that is an adapter")
    g("--controller_addr", metavar="URL", help="controller of a served PRM and of served rollouts")
    g("--critic", choices=("own", "shared"), help="APPO, TPPO: a copy of the policy, or a head on the policy's hidden "
      "states; default: own, with --lora_r shared")  # fmt: skip
    g("--lora_r", type=positive, metavar="R", help="train an adapter of this rank; default: all weights")
    g("--lora_alpha", type=positive, default=32, help="default %(default)s")
    g("--quantize", choices=("nf4",), help="the base under an adapter in 4 bits (QLoRA); on a GPU")
    g("--lora_modules", nargs="+", metavar="NAME", help="layers that get an adapter; default: all projections")
    g("--dtype", choices=("fp32", "bf16"), help="of the arithmetic; weights that learn are fp32 either way; default: "
      "fp32 on a CPU, bf16 on a GPU")  # fmt: skip
    g("--device", choices=("cpu", "cuda"), help="default: cuda where there is one")
    g("--gradient_checkpointing", action="store_true", help="less memory, more time")
    g("--shard", choices=SHARDS, help="share what learns out to the processes of torchrun: gradients and optimizer "
      "(ZeRO-2), or weights, too, at any time (ZeRO-3); default: each has all of it; see sharding.py")  # fmt: skip
    g("--trust_remote_code", action="store_true", help="run code that comes with the models")

    g = p.add_argument_group("data").add_argument
    g("--task_name", default="arithmetic", help="a folder of envs/; default %(default)s")
    g("--dataset_path", type=Path, metavar="FILE", help="JSONL with question or problem, and answer; default: the "
      "task's own split train")  # fmt: skip
    g("--eval_dataset_path", type=Path, metavar="FILE", help="held-out questions; default: the task's --eval_split")
    g("--eval_split", default="dev", help="default %(default)s")
    g("--level", help="only problems of this level")
    g("--limit", type=positive, help="only the first training problems")
    g("--eval_limit", type=positive, default=200, help="only the first held-out problems; default %(default)s")
    g("--drop_overlap", action="store_true", help="leave out training questions that are held out, instead of refusing")

    g = p.add_argument_group("rewards").add_argument
    g("--outcome_weight", type=float, default=1.0, help="of a right answer, by the grader; default %(default)s")
    g("--process_weight", type=float, help="of the PRM; default: 1 with a PRM, else 0")
    g("--credit", choices=("difference", "min_form", "sum"), default="difference", help="from PRM scores to step "
      "rewards; default %(default)s; sum pays for more steps")  # fmt: skip
    g("--format_weight", type=float, default=0.0, help="taken off where no answer can be read; default %(default)s")
    g("--length_weight", type=float, default=0.0, help="taken off at most for length; default %(default)s")
    g("--length_from", type=fraction, default=0.8, help="share of --max_new_tokens from which length costs")

    g = p.add_argument_group("rollouts").add_argument
    g("--questions", type=positive, default=32, help="of an update; default %(default)s")
    g("--group_size", type=positive, default=8, metavar="G", help="solutions of a question; default %(default)s")
    g("--temperature", type=float, default=1.0, help="default %(default)s")
    g("--top_p", type=float, default=1.0, help="default %(default)s")
    g("--top_k", type=int, default=-1, help="default %(default)s (off)")
    g("--max_new_tokens", type=positive, help="of a solution; default: the task's")
    g("--max_steps", type=positive, help="of a solution; default: the task's")
    g("--rollout_engine", choices=ROLLOUT_ENGINES, default="transformers", help="transformers or vllm in this process; "
      "served: LM workers that were started with --allow-weight-updates; default %(default)s")  # fmt: skip
    g("--rollout_model", metavar="NAME", help="served: the policy's name at --controller_addr; weights go to all its "
      "workers through the run's folder, which they must see under the same path")  # fmt: skip
    g("--rollout_gpu_memory", type=fraction, metavar="SHARE", help="vllm: of the GPU's memory, beside the trainer's; "
      f"default: {GPU_MEMORY}")  # fmt: skip
    g("--overlap", action="store_true", help="sample for the next update while learning: from weights that are one "
      "update old, for which solutions are weighted by min(pi_now / pi_sampled, --importance_cap) in the loss; pays "
      "where sampling and learning do not share all their hardware; see runner/runner.py")  # fmt: skip
    g("--rows", type=positive, default=1024, help="solutions under way in the sampler; default %(default)s")

    g = p.add_argument_group("algorithm").add_argument
    g("--algorithm_name", choices=ALGORITHMS, default="GRPO", help="default %(default)s")
    g("--num_updates", type=positive, default=100, help="batches of solutions; default %(default)s")
    g("--max_seconds", type=number, metavar="S", help="of training, judging apart and resumed runs in all: the update "
      "that passes them is the last")  # fmt: skip
    g("--ppo_epoch", type=positive, default=1, help="passes over a batch; default %(default)s")
    g("--num_mini_batch", type=positive, default=1, help="optimizer steps of a pass; default %(default)s")
    g("--lr", type=float, default=1e-6, help="default %(default)s")
    g("--critic_lr", type=float, default=1e-5, help="default %(default)s")
    g("--warmup_updates", type=int, default=0, help="default %(default)s")
    g("--lr_schedule", choices=("constant", "linear"), default="constant", help="linear: down to 0 at the end")
    g("--weight_decay", type=float, default=0.0, help="default %(default)s")
    g("--max_grad_norm", type=float, default=1.0, help="default %(default)s")
    g("--clip_param", type=float, default=0.2, help="of the probability ratio; default %(default)s")
    g("--clip_high", type=float, help="its upper bound where that differs, such as 0.28 (clip-higher)")
    g("--ratio", choices=("token", "step", "sequence"), help="what has one ratio; default: step for APPO, sequence for "
      "RLOO, else token; GRPO with sequence and --mean_ratio is GSPO")  # fmt: skip
    g("--mean_ratio", action="store_true", help="divide log-ratios by length")
    g("--aggregation", choices=("token", "sequence", "constant"), help="of the loss; default: token, for "
      "GRPO and RLOO sequence")  # fmt: skip
    g("--supervision", choices=("outcome", "process"), default="outcome", help="GRPO; default %(default)s")
    g("--dr_grpo", action="store_true", help="GRPO without std and without length: --aggregation constant")
    g("--gamma", type=float, default=1.0, help="from step to step; default %(default)s")
    g("--gae_lambda", type=float, default=0.95, help="from step to step; default %(default)s")
    g("--token_lambda", type=float, default=1.0, help="TPPO, inside a step; default %(default)s")
    g("--kl_coef", type=float, default=0.0, help="of the KL to the first policy; default %(default)s")
    g("--kl_in", choices=("loss", "reward"), default="loss", help="default %(default)s")
    g("--kl_estimator", choices=("k1", "k2", "k3"), help="default: k3 in the loss, k1 in the reward")
    g("--entropy_coef", type=float, default=0.0, help="default %(default)s")
    g("--value_clip", type=float, default=0.2, help="0: values are not clipped; default %(default)s")
    g("--value_loss_coef", type=float, default=1.0, help="default %(default)s")
    g("--huber_delta", type=float, default=10.0, help="default %(default)s")
    g("--importance_cap", type=float, default=2.0, help="of trainer against sampler; 0: no correction")
    g("--token_budget", type=positive, help="padded tokens of a forward pass; default: 4096, on a GPU 32768")

    g = p.add_argument_group("run").add_argument
    g("--experiment_name", default="", help="part of the run's folder")
    g("--save_dir", type=Path, default=Path("results"), help="run folders go below it; default %(default)s")
    g("--resume", type=Path, metavar="RUN_DIR", help="go on with a run, with the same arguments")
    g("--save_interval", type=positive, default=20, help="updates between checkpoints; default %(default)s")
    g("--eval_interval", type=positive, default=10, help="updates between evaluations; default %(default)s")
    g("--seed", type=int, default=0, help="default %(default)s")
    g("--wandb", metavar="PROJECT", help="log to Weights & Biases too")
    return p


def check(args: argparse.Namespace, processes: int = 1) -> None:
    """Refuse what does not fit together or does not divide; fill in what follows from the rest. Raises UserError."""
    grouped = args.algorithm_name in GROUPED
    if grouped and args.group_size < 2:
        raise UserError(f"{args.algorithm_name} compares the solutions of a question: --group_size must be at least 2")
    solutions = args.questions * args.group_size
    if solutions % args.num_mini_batch:
        raise UserError(
            f"--questions {args.questions} x --group_size {args.group_size} = {solutions} solutions do not divide into "
            f"--num_mini_batch {args.num_mini_batch}"
        )
    if args.questions % processes:
        raise UserError(f"--questions {args.questions} do not divide into {processes} processes")
    if args.shard and processes == 1:
        raise UserError(
            "--shard shares the model out to several processes: start them with torchrun --nproc_per_node=N"
        )
    if args.shard and args.quantize:
        raise UserError("--quantize nf4 keeps weights of 4 bits, which cannot be cut up: leave out --shard")
    if args.temperature <= 0:
        raise UserError("--temperature must be above 0: greedy solutions of a question are all the same")
    try:
        Sampling(args.temperature, args.top_p, args.top_k, args.max_new_tokens or 1)
    except UserError as error:
        raise UserError(f"--{error}") from None
    for name in ("lr", "max_grad_norm", "huber_delta"):
        if getattr(args, name) <= 0:
            raise UserError(f"--{name} must be above 0, not {getattr(args, name):g}")
    if args.process_weight is None:
        args.process_weight = float(args.prm_name_or_path is not None)
    if args.process_weight and args.prm_name_or_path is None:
        raise UserError("--process_weight needs a PRM: give --prm_name_or_path")
    _check_algorithm(args, grouped)
    _check_kl(args)
    _check_rollouts(args)
    if args.quantize:
        if not args.lora_r:
            raise UserError("--quantize nf4 is for the base of an adapter, 4-bit weights cannot learn: give --lora_r")
        _need("bitsandbytes", "--quantize nf4")
    if args.wandb:
        _need("wandb", "--wandb")


def _check_algorithm(args: argparse.Namespace, grouped: bool) -> None:
    if args.algorithm_name != "GRPO" and (args.supervision == "process" or args.dr_grpo):
        raise UserError("--supervision process and --dr_grpo are of --algorithm_name GRPO")
    if args.dr_grpo:
        if args.aggregation not in (None, "constant"):
            raise UserError("--dr_grpo is --aggregation constant")
        args.aggregation = "constant"
    usual = vars(parser().parse_args(["--model_name_or_path", ""]))
    if grouped:
        given = [name for name in CRITIC_ONLY if getattr(args, name) != usual[name]]
        if given:
            raise UserError(f"{args.algorithm_name} has no critic: leave out --{' --'.join(given)}")
    else:
        wanted = {"APPO": "step", "TPPO": "token"}[args.algorithm_name]
        if args.ratio not in (None, wanted):
            raise UserError(f"{args.algorithm_name} has --ratio {wanted}")
    if args.ratio == "sequence" and args.supervision == "process":
        raise UserError("--supervision process gives steps advantages of their own: --ratio must be token or step")
    if args.critic == "own" and args.lora_r:
        raise UserError("--critic own trains a whole copy of the policy: with --lora_r use --critic shared")
    if args.critic is None and not grouped:
        args.critic = "shared" if args.lora_r else "own"


def _check_kl(args: argparse.Namespace) -> None:
    if args.kl_estimator is None:
        args.kl_estimator = "k3" if args.kl_in == "loss" else "k1"
    if (args.kl_in == "reward") != (args.kl_estimator == "k1"):
        raise UserError("the KL is k1 in the reward, and k2 or k3 in the loss, where k1 has no gradient in expectation")


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
