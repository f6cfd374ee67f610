"""Runs of two processes that share the model out: what one process with the whole of it learns, whoever resumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from reason.inference.base import Sampling
from tests.reason.engine.tiny import save_policy
from tests.train.mat.runner.test_processes import two
from tests.train.mat.runner.test_run import arguments, rows, run_folder
from tests.train.mat.toys import TablePolicy, saved_state, trainer
from tests.train.mat.trainers.test_trainer import mixed
from train.core.processes import ALONE, Processes
from train.mat.agents.policy import LoraOptions, load
from train.mat.runner.checkpoint import load_state
from train.mat.train_llm import main

# Trains to the second update and goes on from there to the third, and tells how much of the models a process holds and
# what it would push to an engine with weights of its own.
SHARDED = """
import asyncio, sys
from pathlib import Path
from safetensors.torch import save_file
from train.mat import train_llm
from train.core.processes import started

def models(*given):
    global policy
    policy, critic = whole(*given)
    for model in filter(None, (policy.model, policy.reference, critic)):
        held = sum(p.to_local().numel() for p in model.parameters()) / sum(p.numel() for p in model.parameters())
        print(f"holds {held:.1f}", flush=True)
    return policy, critic

whole, train_llm.models = train_llm.models, models
words = sys.argv[1:]
with started() as processes:
    run = lambda *more: asyncio.run(train_llm.run(train_llm.parser().parse_args([*words, *more]), processes))
    run("--num_updates", "2")
    [folder] = Path(words[words.index("--save_dir") + 1]).glob("*/*/*")
    run("--num_updates", "3", "--resume", str(folder))
    save_file(dict(policy.plain_weights()), folder / f"pushed{processes.rank}")
    processes.leave(0)
"""


@pytest.fixture(scope="module")
def tied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its head is its embeddings."""
    return save_policy(tmp_path_factory.mktemp("tied"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shard", "model", "words"),
    [
        ("weights", "tied", "--algorithm_name GRPO --kl_coef 0.01 --gradient_checkpointing"),
        ("gradients", "policy", "--algorithm_name APPO --ppo_epoch 2 --num_mini_batch 2 --entropy_coef 0.01"),
        ("weights", "policy", "--algorithm_name TPPO --lora_r 3 --kl_coef 0.01 --overlap"),
        ("gradients", "policy", "--algorithm_name TPPO --lora_r 3"),
    ],
)
def test_two_sharded_processes_learn_what_one_learns_and_resume_and_are_resumed(
    shard: str, model: str, words: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    policy = request.getfixturevalue(model)
    more = ["--questions", "4", "--prm_name_or_path", "oracle", "--token_budget", "150", *words.split()]
    assert main(arguments(policy, tmp_path / "one", *more)) == 0
    script = tmp_path / "sharded.py"
    script.write_text(SHARDED, encoding="utf-8")
    done = two(script, *arguments(policy, tmp_path / "both", *more), "--shard", shard)
    assert done.returncode == 0, done.stderr[-3000:]
    held = [line for line in done.stdout.splitlines() if line.startswith("holds")]
    assert len(held) >= 4 and set(held) == {"holds 0.5"}
    one, both = run_folder(tmp_path / "one"), run_folder(tmp_path / "both")
    saved, learnt = load_file(both / "last" / "model.safetensors"), restored(policy, both, "--lora_r" in words)
    for found in (saved, *(load_file(both / f"pushed{rank}") for rank in (0, 1))):
        assert found.keys() == learnt.keys()
        assert all(torch.allclose(found[name], weight.to(found[name]), atol=1e-6) for name, weight in learnt.items())
    AutoModelForCausalLM.from_pretrained(both / "last")
    assert main(arguments(policy, tmp_path / "both", *more, "--resume", both)) == 0  # the fourth, alone and whole

    assert rows(one)[1]["solutions"] == 16 and rows(one)[1]["with_gradient"] > 0
    assert len(rows(both)) == 5
    for ours, theirs in zip(rows(both), rows(one), strict=True):
        judged_more = ours.keys() - theirs.keys()  # behind the third update, then its last
        assert judged_more <= {"eval_accuracy"}
        assert {k: v for k, v in ours.items() if k in theirs} == pytest.approx(theirs, rel=1e-3, abs=1e-5)
    a, b = saved_state(both), saved_state(one)
    for name in ("policy", "critic") if "PPO" in words else ("policy",):
        assert all(torch.allclose(a[name][key], weight, atol=1e-4) for key, weight in b[name].items())


def restored(path: Path, run: Path, lora: bool) -> dict[str, torch.Tensor]:
    """The plain weights of a run's last checkpoint."""
    policy = load(str(path), None, Sampling(), "cpu", "fp32", LoraOptions(r=3) if lora else None)
    state = load_state(run)
    assert state is not None
    policy.restore(state["policy"])
    return dict(policy.plain_weights())


class Waiting(Processes):
    """Does two passes less than another process."""

    def missing(self, count: int) -> int:
        return 2


class Idle(Waiting):
    """Has no share of the solutions at all."""

    def share(self, many: Sequence[Any]) -> Sequence[Any]:
        return many[:0]

    def union(self, own: Sequence[Any]) -> list[Any]:
        return mixed()


@pytest.mark.parametrize(("algorithm", "options"), [("GRPO", {"kl_coef": 0.1, "entropy_coef": 0.1}), ("TPPO", {})])
def test_passes_for_those_of_other_processes_change_nothing(algorithm: str, options: dict[str, Any]) -> None:
    found = []
    for processes in (ALONE, Waiting()):
        trained = trainer(TablePolicy(), algorithm, token_budget=12, num_mini_batch=2, ppo_epoch=2, **options)
        trained.processes = processes
        metrics = trained.learn(mixed(), 1)
        policy: Any = trained.policy
        found.append((policy.logits.detach(), metrics))
    assert torch.equal(found[0][0], found[1][0]) and found[0][1] == found[1][1]


def test_a_process_without_a_share_takes_part_and_gives_no_gradient() -> None:
    policy = TablePolicy()
    before = policy.logits.detach().clone()
    trained = trainer(policy, "GRPO")
    trained.processes = Idle()
    assert trained.learn(mixed(), 1)["loss"] == 0
    assert policy.logits.grad is None and torch.equal(policy.logits.detach(), before)


def test_one_process_has_nobody_to_share_with(policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments(policy, tmp_path, "--shard", "weights")) == 2
    assert "torchrun" in capsys.readouterr().err
