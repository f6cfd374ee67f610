"""Whole runs of a small random policy: every algorithm, resumed, stopped, refused."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from envs.base_env import DataOptions, load_task
from reason.common.errors import RunError
from reason.common.files import write_json
from reason.evaluation.records import read_config
from tests.fakes import PRM_CARD, ROOT, FakeWorker, fastchat_controller
from tests.prm.tiny import save_prm
from tests.train.mat.toys import saved_state
from train.mat.buffers.batches import passes
from train.mat.runner.checkpoint import load_state
from train.mat.train_llm import main
from train.mat.trainers import losses
from train.mat.trainers.trainer import Trainer

TIMES = {"seconds_sampling", "seconds_learning", "seconds_judging", "tokens_per_s", "samples_per_s"}


@pytest.fixture(scope="module")
def prm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_prm(tmp_path_factory.mktemp("prm"))


def arguments(policy: Path, save_dir: Path, *more: Any) -> list[str]:
    """A random policy is never right, so it is paid for being brief, too."""
    words = ["--model_name_or_path", policy, "--save_dir", save_dir, "--level", "3", "--limit", "50",
             "--eval_limit", "8", "--questions", "3", "--group_size", "4", "--max_new_tokens", "24", "--lr", "1e-3",
             "--num_updates", "4", "--save_interval", "2", "--eval_interval", "2", "--length_weight", "1",
             "--length_from", "0", *more]  # fmt: skip
    return list(map(str, words))


def run_folder(save_dir: Path) -> Path:
    [folder] = save_dir.glob("*/*/*")
    return folder


def rows(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMES} for line in lines]


ALGORITHMS = [
    ("GRPO", "--prm --kl_coef 0.01"),
    ("GRPO", "--prm --supervision process --lora_r 4 --kl_coef 0.01 --kl_in reward"),
    ("RLOO", "--prm --top_p 0.9 --temperature 0.8"),
    ("GRPO", "--prm --overlap --max_steps 2"),
    ("APPO", "--prm --ppo_epoch 2 --num_mini_batch 2"),
    ("TPPO", "--prm --credit min_form --lora_r 4 --lr_schedule linear --warmup_updates 2"),
]


@pytest.mark.parametrize(("algorithm", "words"), ALGORITHMS)
def test_a_run_that_was_stopped_goes_on_to_the_same_losses(
    algorithm: str, words: str, policy: Path, prm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    more = words.replace("--prm", f"--prm_name_or_path {prm}").split()
    assert main(arguments(policy, tmp_path / "whole", "--algorithm_name", algorithm, *more)) == 0
    whole = run_folder(tmp_path / "whole")

    learn = Trainer.learn

    def until_the_fourth(self: Trainer, rollouts: Any, update: int) -> dict[str, float]:
        if update == 4:
            raise RunError("the loss is nan")
        return learn(self, rollouts, update)

    stopped = arguments(policy, tmp_path / "stopped", "--algorithm_name", algorithm, *more)
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "learn", until_the_fourth)
        assert main(stopped) == 1
    assert "checkpoints are kept" in capsys.readouterr().err
    folder = run_folder(tmp_path / "stopped")
    assert saved_state(folder)["done"] == 2
    assert main([*stopped, "--resume", str(folder)]) == 0

    assert rows(folder) == rows(whole)
    assert [row["update"] for row in rows(whole)] == [0, 1, 2, 3, 4]
    for name in ("best", "last"):
        assert {"config.json", "model.safetensors", "tokenizer.json", "model_card.yaml"} <= {
            path.name for path in (whole / name).iterdir()
        }
    a, b = saved_state(folder), saved_state(whole)
    assert all(torch.equal(a["policy"][name], weight) for name, weight in b["policy"].items())
    first = rows(whole)[1]
    assert first["with_gradient"] > 0 and first["grad_norm"] > 0
    assert first["sampler_gap"] < 1e-5 and (first["kl_old"] == 0 or "--ppo_epoch" in words)
    assert main([*stopped, "--resume", str(folder), "--seed", "1"]) == 2
    assert "--seed was 0 and is 1" in capsys.readouterr().err
    config = read_config(folder)
    config["dataset"]["train"]["sha256"] = "of other questions"
    write_json(folder / "config.json", config)
    assert main([*stopped, "--resume", str(folder)]) == 2
    assert "dataset train was" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["GRPO", "APPO"])
def test_a_run_killed_at_random_goes_on_to_the_same_losses(
    policy: Path, prm: Path, tmp_path: Path, algorithm: str
) -> None:
    """The process is killed at a random moment behind a random update, twice."""
    more = ["--algorithm_name", algorithm, "--prm_name_or_path", prm, "--num_updates", 12, "--save_interval", 3]
    assert main(arguments(policy, tmp_path / "whole", *more)) == 0
    whole = rows(run_folder(tmp_path / "whole"))
    words = arguments(policy, tmp_path / "killed", *more)
    chance = random.Random(algorithm)
    for update in sorted(chance.sample(range(2, 8), 2)):
        again = ["--resume", str(run_folder(tmp_path / "killed"))] if (tmp_path / "killed").exists() else []
        command = [sys.executable, "-m", "train.mat.train_llm", *words, *again]
        running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(partial(has_lines, tmp_path / "killed", update + 2), 180)
        time.sleep(chance.uniform(0, 0.3))
        assert running.poll() is None, "the run ended before it could be killed"
        running.kill()
        running.wait()
    folder = run_folder(tmp_path / "killed")
    assert main([*words, "--resume", str(folder)]) == 0
    assert rows(folder) == whole


def lines_of(save_dir: Path) -> list[str]:
    """Whole lines of the log of the run below `save_dir`, as far as there is one."""
    return [line for path in save_dir.glob("*/*/*/log.jsonl") for line in path.read_text().splitlines(keepends=True)
            if line.endswith("\n")]  # fmt: skip


def has_lines(run: Path, count: int) -> bool:
    return len(lines_of(run)) >= count


def wait_for(true: Callable[[], bool], seconds: float) -> None:
    """Until something holds."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "nothing came in time"
        time.sleep(0.01)


def test_a_run_ends_with_the_update_that_passes_its_seconds(policy: Path, tmp_path: Path) -> None:
    """And goes on, given more, as if it had never ended, but for one more evaluation."""
    assert main(arguments(policy, tmp_path / "whole")) == 0
    whole = rows(run_folder(tmp_path / "whole"))
    words = arguments(policy, tmp_path / "short")
    assert main([*words, "--max_seconds", "0.001"]) == 0
    folder = run_folder(tmp_path / "short")
    assert [row["update"] for row in rows(folder)] == [0, 1] and "eval_accuracy" in rows(folder)[1]
    assert (folder / "last" / "model.safetensors").is_file() and saved_state(folder)["spent"] > 0.001
    assert main([*words, "--max_seconds", "0.001", "--resume", str(folder)]) == 0
    assert len(rows(folder)) == 2  # the seconds of both are counted together
    assert main([*words, "--max_seconds", "1000", "--resume", str(folder)]) == 0
    found = rows(folder)
    del found[1]["eval_accuracy"]
    assert found == whole


def test_a_policy_learns_what_it_is_paid_for(policy: Path, tmp_path: Path) -> None:
    """To end its text early: without that it writes on to the end in nearly every case."""
    more = "--lr 1e-2 --num_updates 16 --eval_interval 16 --questions 4 --group_size 8".split()
    assert main(arguments(policy, tmp_path, *more)) == 0
    rewards = [row["reward"] for row in rows(run_folder(tmp_path))[1:]]
    assert sum(rewards[:3]) / 3 < -0.8
    assert sum(rewards[-3:]) / 3 > -0.5


def test_with_overlap_solutions_are_of_the_weights_before_and_are_weighted_for_it(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn, weighted, seen, weights = Trainer.learn, losses.importance_weights, [], []

    def looked_at(self: Trainer, rollouts: Any, update: int) -> dict[str, float]:
        now = self.policy.weights()
        weights.append({name: weight.clone() for name, weight in now.items()})
        gaps = {}
        for which in {len(weights) - 1, max(len(weights) - 2, 0)}:
            self.policy.restore(weights[which])
            gaps[which] = [self._mismatch(one, self.policy.logprobs(one)[0].detach())
                           for one in passes(rollouts, 4096, self.policy.device)]  # fmt: skip
        self.policy.restore(weights[-1])
        counted = []

        def noted(log_ratios: torch.Tensor, cap: float) -> torch.Tensor:
            counted.append(weighted(log_ratios, cap))
            return counted[-1]

        monkeypatch.setattr(losses, "importance_weights", noted)
        metrics = learn(self, rollouts, update)
        seen.append(({which: torch.cat(gap) for which, gap in gaps.items()}, torch.cat(counted), metrics))
        return metrics

    monkeypatch.setattr(Trainer, "learn", looked_at)
    more = ["--overlap", "--num_updates", "3", "--lr", "3e-3", "--importance_cap", "1.5", "--kl_coef", "1e-6"]
    assert main(arguments(policy, tmp_path, *more)) == 0
    for update, (gap, counted, metrics) in enumerate(seen):
        sampler = max(update - 1, 0)
        assert gap[sampler].abs().max() < 1e-3
        assert metrics["kl_old"] == 0  # the clipped ratio is 1 at the only step
        expected = gap[update].exp().clamp(max=1.5)
        assert torch.allclose(counted.sort().values, expected.sort().values, atol=1e-4)
        assert (gap[update].abs().max() > 0.05) == (update > 0)


def test_a_served_prm_and_tensorboard(policy: Path, tmp_path: Path) -> None:
    with fastchat_controller(tmp_path) as controller, FakeWorker("served-prm", controller, PRM_CARD) as worker:
        more = ["--prm_name_or_path", "served-prm", "--controller_addr", controller, "--num_updates", "1"]
        assert main(arguments(policy, tmp_path / "run", *more)) == 0
        assert worker.requests["worker_value_inference"] == 12
    folder = run_folder(tmp_path / "run")
    assert 0 < rows(folder)[1]["prm_score"] < 1
    assert (folder / "tensorboard").is_dir() == (find_spec("tensorboard") is not None)


def test_data_of_openr(tmp_path: Path) -> None:
    """Its rows hold problem and final_answer."""
    path = tmp_path / "train.jsonl"
    path.write_text('{"problem": "What is 2+3?", "final_answer": "5"}\n', encoding="utf-8")
    [problem] = load_task("MATH").problems(DataOptions(data_path=path))
    assert (problem.question, problem.answer) == ("What is 2+3?", "5")


def test_weights_that_are_no_numbers_end_the_run(
    policy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("train.mat.runner.rewards.CREDITS", {"difference": lambda scores: scores * float("nan")})
    more = ["--prm_name_or_path", "oracle", "--num_updates", "1"]
    assert main(arguments(policy, tmp_path, *more)) == 1
    error = capsys.readouterr().err
    assert "is nan at update 1, epoch 0, mini-batch 0 (questions arithmetic/3/train/0/" in error
    assert load_state(run_folder(tmp_path)) is None


def test_bad_input_is_one_line(policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text('{"question": "10 + 20 + 30"}\n', encoding="utf-8")
    nameless = save_prm(tmp_path / "prm", card=None)
    cases: list[tuple[list[Any], str]] = [
        (["--dataset_path", data], "answer: text is needed, it is missing"),
        (["--dataset_path", tmp_path / "no.jsonl"], "cannot be read"),
        (["--prm_name_or_path", nameless], "name one with --prm_card"),
        (["--model_name_or_path", tmp_path / "no_policy"], "there is no folder"),
        (["--resume", tmp_path], "there is no run"),
        (["--model_name_or_path", tmp_path / "no_policy", "--lm_card", "openr-tiny-policy"], "cannot be loaded"),
        (["--task_name", "nothing"], "no task 'nothing'"),
        (["--device", "cuda"], "no GPU"),
        (["--device", "cpu", "--quantize", "nf4", "--lora_r", "4"], "--quantize nf4 needs"),  # bitsandbytes, or a GPU
    ]
    if torch.cuda.is_available():
        cases.pop(-2)
    capsys.readouterr()  # what saving the PRM has said
    for words, message in cases:
        assert main(arguments(policy, tmp_path / "runs", *words)) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1 and error.startswith("train_llm.py: ")
    assert not (tmp_path / "runs").exists()
