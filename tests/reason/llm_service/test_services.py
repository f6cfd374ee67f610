"""Real processes: workers behind FastChat's own controller, the service scripts, the readiness check."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reason.llm_service.wait_ready import alive
from tests.fakes import ROOT, fastchat_controller, free_port, post

FOLDER = ROOT / "reason" / "llm_service"
SCRIPTS = sorted(path.name for path in FOLDER.glob("create_service_*.sh"))
SHELL = shutil.which("dash") or "sh"
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "FASTCHAT_WORKER_HEART_BEAT_INTERVAL": "1",
}  # fmt: skip


def ask(address: str, route: str, **params: Any) -> dict[str, Any]:
    return json.loads(post(f"{address}/{route}", params))


def until(condition: Callable[[], Any], seconds: float = 240) -> Any:
    """The first true value of the condition; an assertion error when there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.2)
    raise AssertionError("waited in vain")


def start_worker(policy: Path, controller: str, port: int, log: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "reason.llm_service.workers.model_worker", "--device", "cpu"]
    command += ["--model-path", str(policy), "--port", str(port), "--controller-address", controller]
    with log.open("w") as output:
        return subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, env=ENVIRONMENT)


@pytest.fixture(scope="module")
def served(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str], list]]:
    """A controller with two workers of the same model: (controller, worker addresses, worker processes)."""
    folder = tmp_path_factory.mktemp("services")
    with fastchat_controller(folder) as controller:
        ports = [free_port(), free_port()]
        workers = [start_worker(policy, controller, port, folder / f"{port}.log") for port in ports]
        try:
            ready = [sys.executable, "-m", "reason.llm_service.wait_ready", "--controller-address", controller]
            ready += ["--models", policy.name, "--workers", "2", "--timeout", "240"]
            done = subprocess.run(ready, cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            assert done.stdout.endswith("ready\n")
            yield controller, [f"http://127.0.0.1:{port}" for port in ports], workers
            for worker in workers:
                worker.terminate()
            assert [worker.wait(30) for worker in workers] == [0, 0]
        finally:
            for worker in workers:
                worker.kill()


@pytest.mark.slow
def test_two_workers_give_the_same_samples(served, policy: Path) -> None:
    controller, addresses, _ = served
    assert ask(controller, "get_worker_address", model=policy.name)["address"] in addresses
    params = {"prompt": "1 + 2 * 3\n", "n": 3, "seeds": [1, 2, 2**64 - 1], "max_new_tokens": 20, "model": policy.name}
    replies = [ask(address, "worker_generate", **params) for address in addresses]
    assert replies[0] == replies[1]
    assert replies[0]["error_code"] == 0
    lists = ("text", "cumulative_logprob", "output_token_len", "finish_reason", "token_ids")
    assert [len(replies[0][field]) for field in lists] == [3] * 5
    assert replies[0]["usage"]["completion_tokens"] == sum(map(len, replies[0]["token_ids"]))


@pytest.mark.slow
def test_a_stream_over_the_wire(served) -> None:
    _, addresses, _ = served
    params = {"prompt": "8 - 3\n", "seed": 4, "max_new_tokens": 10}
    whole = ask(addresses[0], "worker_generate", **params)
    chunks = [json.loads(c) for c in post(f"{addresses[0]}/worker_generate_stream", params).split(b"\0")[:-1]]
    assert chunks[-1]["text"] == whole["text"][0]
    assert chunks[-1]["finish_reason"] == whole["finish_reason"][0]
    assert len(chunks) > 1
    refused = post(f"{addresses[0]}/worker_generate_stream", params | {"n": 2}).rstrip(b"\0")
    assert json.loads(refused)["error"]["type"] == "BadRequest"


@pytest.mark.slow
def test_details_and_token_counts(served, tokenizer) -> None:
    _, addresses, _ = served
    details = ask(addresses[0], "model_details")
    assert (details["context_length"], details["engine"], details["dtype"]) == (1024, "transformers", "float32")
    assert details["card"]["name"] == "tiny"
    assert ask(addresses[0], "count_token", prompt="1 + 2")["count"] == len(tokenizer.encode("1 + 2"))


@pytest.mark.slow
def test_a_worker_waits_for_its_controller_and_registers_again(policy: Path, tmp_path: Path) -> None:
    """The controller comes late, and later forgets the worker."""
    port, log = free_port(), tmp_path / "worker.log"
    controller_port = free_port()
    controller = f"http://127.0.0.1:{controller_port}"
    worker = start_worker(policy, controller, port, log)

    def models() -> list[str]:
        try:
            return ask(controller, "list_models")["models"]
        except OSError:
            return []

    def run_controller() -> subprocess.Popen:
        command = [sys.executable, "-m", "fastchat.serve.controller", "--port", str(controller_port)]
        command += ["--host", "127.0.0.1"]
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT | {"LOGDIR": ""}, **quiet)

    process = None
    try:
        until(lambda: "does not answer" in log.read_text())
        assert "Traceback" not in log.read_text()
        for _ in range(2):
            process = run_controller()
            until(lambda: models() == [policy.name])
            process.kill()
            process.wait()
        assert log.read_text().count("registered") == 2
        worker.send_signal(signal.SIGINT)
        assert worker.wait(30) == 0
        assert "Traceback" not in log.read_text()
    finally:
        worker.kill()
        if process:
            process.kill()


def run_script(name: str, tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """A service script under a plain sh, from another folder."""
    environment = os.environ | {
        "PYTHON": sys.executable, "LOGDIR": str(tmp_path / "logs"), "SESSION": f"test-{tmp_path.name}",
        "CONTROLLER_PORT": str(free_port()), "WORKER_BASE_PORT": str(free_port(4)), "CUDA_VISIBLE_DEVICES": "",
    } | variables  # fmt: skip
    command = [SHELL, str(FOLDER / name)]
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_missing_model_is_named_before_anything_starts(name: str, tmp_path: Path) -> None:
    done = run_script(name, tmp_path, MODEL_BASE=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert f"no model at {tmp_path}/" in done.stderr
    assert "POLICY_MODEL_NAME" in done.stderr
    assert not (tmp_path / "logs").exists()


def test_a_missing_reward_model_is_named(policy: Path, tmp_path: Path) -> None:
    done = run_script("create_service_tiny.sh", tmp_path, MODEL_BASE=str(policy.parent), POLICY_MODEL_NAME=policy.name,
                      VALUE_MODEL_NAME="nosuch")  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "VALUE_MODEL_NAME" in done.stderr


def test_a_taken_port_is_named(policy: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_script("create_service_tiny.sh", tmp_path, MODEL_BASE=str(policy.parent), NUM_RM_WORKER="0",
                          POLICY_MODEL_NAME=policy.name, CONTROLLER_PORT=port)  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"port {port}" in done.stderr
    assert "CONTROLLER_PORT" in done.stderr


def test_an_unknown_engine_is_named(policy: Path, tmp_path: Path) -> None:
    done = run_script("create_service_tiny.sh", tmp_path, MODEL_BASE=str(policy.parent), NUM_RM_WORKER="0",
                      POLICY_MODEL_NAME=policy.name, ENGINE="magic")  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def path_without(tool: str, folder: Path) -> str:
    """A PATH with everything but one tool."""
    folder.mkdir()
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            if program.name != tool:
                link = folder / program.name
                link.unlink(missing_ok=True)
                link.symlink_to(program)
    return str(folder)


@pytest.mark.slow
@pytest.mark.parametrize("tmux", [True, False])
def test_services_start_answer_and_stop(policy: Path, tmp_path: Path, tmux: bool) -> None:
    if tmux and not shutil.which("tmux"):
        pytest.skip("there is no tmux")
    port = free_port()
    variables = {
        "MODEL_BASE": str(policy.parent), "POLICY_MODEL_NAME": policy.name, "NUM_RM_WORKER": "0",
        "ENGINE": "transformers", "CONTROLLER_PORT": str(port), "LM_ARGS": "--device cpu --max-num-seqs 9",
    }  # fmt: skip
    if not tmux:
        variables["PATH"] = path_without("tmux", tmp_path / "bin")
    started = run_script("create_service_tiny.sh", tmp_path, **variables)
    try:
        assert started.returncode == 0, started.stderr
        assert ("tmux session" in started.stdout) == tmux
        address = ask(f"http://127.0.0.1:{port}", "get_worker_address", model=policy.name)["address"]
        assert ask(address, "worker_generate", prompt="1 + 1\n", max_new_tokens=3)["error_code"] == 0
        pids = [int(file.read_text()) for file in (tmp_path / "logs").glob("*.pid")]
        assert len(pids) == 2
    finally:
        stopped = run_script("stop_service.sh", tmp_path, **variables)
    assert stopped.returncode == 0
    assert stopped.stdout == "Stopped 2 processes\n"
    assert not any(map(alive, pids))
    assert run_script("stop_service.sh", tmp_path, **variables).stdout == "Nothing of ours was running\n"


@pytest.mark.slow
def test_a_worker_that_dies_is_reported_and_the_rest_is_stopped(policy: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(policy, broken)
    (broken / "model.safetensors").write_bytes(b"nothing")
    port = str(free_port())
    done = run_script("create_service_tiny.sh", tmp_path, MODEL_BASE=str(tmp_path), POLICY_MODEL_NAME="broken",
                      NUM_RM_WORKER="0", ENGINE="transformers", LM_ARGS="--device cpu", CONTROLLER_PORT=port,
                      )  # fmt: skip
    assert done.returncode == 1
    assert "policy_worker_0 has ended" in done.stderr
    assert "cannot be loaded" in done.stderr
    with pytest.raises(OSError):
        ask(f"http://127.0.0.1:{port}", "list_models")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model_worker", "reward_model_worker"])
def test_workers_run_as_files_too(tmp_path: Path, name: str) -> None:
    words = [sys.executable, str(FOLDER / "workers" / f"{name}.py"), "--help"]
    done = subprocess.run(words, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0 and "--model-path" in done.stdout, done.stderr
