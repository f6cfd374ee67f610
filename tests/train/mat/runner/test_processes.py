"""Runs of two processes, which torchrun starts: what one process learns, and one end for both."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.fakes import ROOT
from tests.train.mat.runner.test_run import arguments, rows, run_folder
from tests.train.mat.toys import saved_state
from train.core.processes import Processes
from train.mat.train_llm import main


def two(*words: Any) -> subprocess.CompletedProcess[str]:
    """Two processes of a module or script with its arguments."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *map(str, words)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280)


def test_shares_are_nearly_equal_and_joined_they_are_all() -> None:
    for count in range(12):
        for size in range(1, 5):
            parts = [Processes(rank, size).share(range(count)) for rank in range(size)]
            assert [one for part in parts for one in part] == list(range(count))
            assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "more", "first"),
    [
        ("GRPO", "--kl_coef 0.01 --lora_r 4", 1),
        ("GRPO", "--kl_coef 0.01 --overlap", 1),
        ("APPO", "--ppo_epoch 2 --num_mini_batch 2 --token_budget 256 --entropy_coef 0.01", 2),
    ],
)
def test_two_processes_learn_what_one_learns_and_either_resumes_the_other(
    algorithm: str, more: str, first: int, policy: Path, tmp_path: Path
) -> None:
    def train(processes: int, save_dir: Path, *last: Any) -> None:
        words = ["--algorithm_name", algorithm, "--questions", "4", "--prm_name_or_path", "oracle", *more.split()]
        if processes == 1:
            assert main(arguments(policy, save_dir, *words, *last)) == 0
            return
        done = two("-m", "train.mat.train_llm", *arguments(policy, save_dir, *words, *last))
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count("Run folder") == 1

    train(1, tmp_path / "one")
    one = run_folder(tmp_path / "one")
    train(first, tmp_path / "both", "--num_updates", 2)
    both = run_folder(tmp_path / "both")
    train(3 - first, tmp_path / "both", "--resume", both)

    assert rows(one)[1]["solutions"] == 16 and rows(one)[1]["with_gradient"] > 0
    assert len(rows(both)) == 5
    for ours, theirs in zip(rows(both), rows(one), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
    a, b = saved_state(both), saved_state(one)
    for name in ("policy", "critic") if algorithm == "APPO" else ("policy",):
        assert all(torch.allclose(a[name][key], weight, atol=1e-4) for key, weight in b[name].items())


FAILING = """
import asyncio, sys
from reason.common.errors import RunError
from reason.inference.base import ModelError
from train.mat import train_llm
from train.core.processes import started
from train.mat.runner import collect, rewards

async def gone(rollouts, rm):
    raise ModelError("the PRM is gone")

with started() as processes:
    for breaks in (lambda: rewards.CREDITS.update(difference=lambda scores: scores * float("nan")),
                   lambda: setattr(collect, "scored", gone)):
        if processes.rank == 1:
            breaks()
        try:
            asyncio.run(train_llm.run(train_llm.parser().parse_args(sys.argv[1:]), processes))
        except (ModelError, RunError) as error:
            print(f"{processes.rank}: {error}", flush=True)
"""


@pytest.mark.slow
def test_what_fails_in_the_second_process_ends_both(policy: Path, tmp_path: Path) -> None:
    script = tmp_path / "failing.py"
    script.write_text(FAILING, encoding="utf-8")
    more = ["--questions", "4", "--prm_name_or_path", "oracle", "--eval_limit", "2"]
    done = two(script, *arguments(policy, tmp_path / "run", *more))
    assert done.returncode == 0, done.stderr[-3000:]
    for rank in (0, 1):
        assert f"{rank}: the loss is nan at update 1, epoch 0, mini-batch 0 (questions " in done.stdout
        assert f"{rank}: the PRM is gone" in done.stdout
    assert not list((tmp_path / "run").glob("*/*/*/checkpoints"))
