"""Rollout engines: a push changes what they sample, and one that has other weights is found out."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from envs.base_env import Problem
from reason.common.errors import RunError, UserError
from reason.inference import open_lm
from reason.inference.base import RolloutLM, Sample, Sampling
from reason.inference.fastchat import FastChatLM
from reason.inference.ledger import Ledger
from tests.fakes import ROOT, fastchat_controller, free_port
from tests.reason.engine.tiny import save_policy
from tests.reason.llm_service.test_services import ENVIRONMENT, ask
from tests.reason.llm_service.test_vllm_worker import runs_here
from tests.train.mat.agents.test_policy import LORA, moved
from tests.train.mat.families import save_family
from tests.train.mat.runner.test_run import arguments, rows, run_folder
from train.core.processes import ALONE
from train.mat.agents.policy import LoraOptions, Policy, load
from train.mat.arguments import RolloutOptions
from train.mat.runner.engines import OwnLM, open_rollout_lm
from train.mat.runner.verify import verify
from train.mat.train_llm import main

PROBLEM = Problem("one", "1 + 2", "3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_family(tmp_path_factory.mktemp("models") / "tiny", "qwen2")


def policy_of(folder: Path, lora: LoraOptions | None = None) -> Policy:
    return load(str(folder), None, Sampling(max_tokens=40), "cpu", "fp32", lora)


async def pushes(engine: RolloutLM, policy: Policy) -> None:
    """What holds for every engine with weights of its own."""
    ids = policy.tokenizer.encode("1 + 2\n")

    async def sampled() -> list[Sample]:
        return await engine.generate(ids, Sampling(temperature=0.9, max_tokens=24), [1, 2, 2**64 - 1], Ledger())

    await engine.push(policy.plain_weights())
    await verify(policy, engine, PROBLEM, ids)
    first = await sampled()
    moved(policy)
    assert await sampled() == first
    with pytest.raises(RunError, match="does not sample with the policy's weights"):
        await verify(policy, engine, PROBLEM, ids)
    await engine.push(policy.plain_weights())
    await verify(policy, engine, PROBLEM, ids)
    second = await sampled()
    assert second != first
    assert [len(one.token_ids) for one in second] == [
        24 if one.finish_reason == "length" else len(one.token_ids) for one in second
    ]


@pytest.mark.parametrize("lora", [None, LORA])
async def test_the_transformers_engine(lora: LoraOptions | None, folder: Path) -> None:
    policy = policy_of(folder, lora)
    engine = OwnLM(policy, rows=16, own_weights=True)
    try:
        await pushes(engine, policy)
    finally:
        await engine.close()


@pytest.mark.parametrize("lora", [None, LORA])
def test_what_is_pushed_is_what_is_saved(lora: LoraOptions | None, folder: Path, tmp_path: Path) -> None:
    policy = policy_of(folder, lora)
    moved(policy)
    policy.save(tmp_path)
    saved, pushed = load_file(tmp_path / "model.safetensors"), dict(policy.plain_weights())
    assert saved.keys() == pushed.keys()
    assert all(torch.allclose(pushed[name], weight, atol=1e-6) for name, weight in saved.items())


@pytest.mark.slow
@pytest.mark.vllm
@pytest.mark.timeout(900)
@pytest.mark.parametrize("tied", [True, False])
async def test_vllm_in_this_process(tied: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a policy whose head is the embedding, and of an adapter over one with a head of its own."""
    if find_spec("vllm") is None:
        pytest.skip("vllm is not installed")
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    folder = save_policy(tmp_path) if tied else save_family(tmp_path, "qwen2", size=64)
    policy = policy_of(folder, None if tied else LORA)
    assert policy.causal.config.tie_word_embeddings == tied
    options = RolloutOptions(rollout_engine="vllm", rollout_gpu_memory=0.2, rows=16)
    try:
        engine = await open_rollout_lm(options, policy, str(folder), False, None, tmp_path, ALONE)
    except UserError as error:
        if runs_here():
            raise
        pytest.skip(f"vLLM cannot start on this machine: {error}")
    try:
        await pushes(engine, policy)
        ids = policy.tokenizer.encode("3 * 4\n")
        work = asyncio.create_task(engine.generate(ids, Sampling(max_tokens=100), list(range(8)), Ledger()))
        await asyncio.sleep(0.05)
        moved(policy)
        await engine.push(policy.plain_weights())  # behind the samples that are under way
        assert len(await work) == 8
        await verify(policy, engine, PROBLEM, ids)
    finally:
        await engine.close()


@pytest.fixture(scope="module")
def served(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    """(controller, addresses): two workers of "tiny", and one of "kept" that does not take weights."""
    logs = tmp_path_factory.mktemp("services")
    with fastchat_controller(logs) as controller:
        ports, workers = [free_port() for _ in range(3)], []
        takes, keeps = ["--allow-weight-updates"], ["--model-names", "kept"]
        for port, more in zip(ports, (takes, takes, keeps)):
            command = [sys.executable, "-m", "reason.llm_service.workers.model_worker", "--device", "cpu", *more]
            command += ["--model-path", str(folder), "--port", str(port), "--controller-address", controller]
            with (logs / f"{port}.log").open("w") as output:
                workers.append(subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=ENVIRONMENT))
        try:
            for model, number in (("tiny", "2"), ("kept", "1")):
                ready = [sys.executable, "-m", "reason.llm_service.wait_ready", "--controller-address", controller]
                ready += ["--models", model, "--workers", number, "--timeout", "240"]
                done = subprocess.run(ready, cwd=ROOT, capture_output=True, text=True, check=False)
                assert done.returncode == 0, done.stderr
            yield controller, [f"http://127.0.0.1:{port}" for port in ports]
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()


@pytest.mark.slow
async def test_served_workers(served, folder: Path, tmp_path: Path) -> None:
    controller, addresses = served
    policy = policy_of(folder)
    async with open_lm("tiny", controller_addr=controller) as lm:
        assert isinstance(lm, FastChatLM)
        engine = await open_rollout_lm(RolloutOptions(), policy, str(folder), False, lm, tmp_path, ALONE)
        assert engine.replicas == 2
        await pushes(engine, policy)
        ids = policy.tokenizer.encode("1 + 2\n")
        reply = ask(addresses[1], "worker_update_weights", folder=str(folder))  # as it was started
        assert reply["error_code"] == 0
        with pytest.raises(RunError, match="does not sample with the policy's weights"):
            await verify(policy, engine, PROBLEM, ids)
        await engine.push(policy.plain_weights())
        await verify(policy, engine, PROBLEM, ids)
        await engine.close()
        assert not (tmp_path / "weights").exists()


@pytest.mark.slow
def test_a_run_by_served_workers_is_the_one_by_the_engine_in_this_process(
    served, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    controller, _ = served

    def train(save_dir: Path, *more: Any) -> int:
        return main(arguments(folder, save_dir, "--num_updates", 2, *more))

    remote = ["--rollout_engine", "served", "--controller_addr", controller, "--rollout_model"]
    assert train(tmp_path / "own") == train(tmp_path / "served", *remote, "tiny") == 0
    own, theirs = rows(run_folder(tmp_path / "own")), rows(run_folder(tmp_path / "served"))
    assert len(theirs) == 3 and theirs[1]["with_gradient"] > 0
    for a, b in zip(own, theirs, strict=True):
        assert b == pytest.approx(a, rel=1e-3, abs=1e-5)
    capsys.readouterr()
    assert train(tmp_path / "kept", *remote, "kept") == 2
    assert "the workers of 'kept' keep their weights: start them with --allow-weight-updates" in capsys.readouterr().err


@pytest.mark.slow
def test_what_a_worker_refuses(served, folder: Path, tmp_path: Path) -> None:
    _, (taking, _, keeping) = served
    other = save_family(tmp_path / "other", "qwen2", layers=1)
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn/model.safetensors").write_bytes(b"torn")
    before = ask(taking, "worker_generate", prompt="1 + 2\n", seed=3, max_new_tokens=12)
    cases = [
        (keeping, str(folder), "--allow-weight-updates"),
        (taking, "weights", "whole path"),
        (taking, None, "whole path"),
        (taking, str(tmp_path / "nothing"), "is the disk shared?"),
        (taking, str(tmp_path / "torn"), "cannot be read"),
        (taking, str(other), "of another model: 12 differ in name or shape, such as model.layers.1."),
    ]
    for address, where, words in cases:
        reply = ask(address, "worker_update_weights", folder=where)
        assert reply["error_code"] != 0 and words in reply["error"]["message"] and not reply["error"]["retryable"]
    assert ask(taking, "worker_generate", prompt="1 + 2\n", seed=3, max_new_tokens=12) == before
    assert [ask(one, "model_details")["weight_updates"] for one in (taking, keeping)] == [True, False]
