"""serve: two starts at once, a command that is served, IPv6 and proxies, and what is left when it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from reason.llm_service import serve, services
from reason.llm_service.wait_ready import alive
from tests.fakes import ROOT, free_port

NOWHERE = "http://127.0.0.1:9"  # nothing listens there


def variables(folder: Path, policy: Path) -> dict[str, str]:
    return {
        "POLICY_MODEL_NAME": str(policy), "NUM_RM_WORKER": "0", "ENGINE": "transformers", "LM_ARGS": "--device cpu",
        "CONTROLLER_PORT": str(free_port()), "WORKER_BASE_PORT": str(free_port()), "LOGDIR": str(folder / "logs"),
        "SESSION": f"serve-{os.getpid()}-{folder.name}", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1",
    }  # fmt: skip


def begin(environment: dict[str, str], *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "reason.llm_service.serve", *words]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def nothing_is_left(environment: dict[str, str]) -> None:
    assert not list(Path(environment["LOGDIR"]).glob("*.pid"))
    assert not services.has_session(environment["SESSION"])
    for port in (environment["CONTROLLER_PORT"], environment["WORKER_BASE_PORT"]):
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", int(port))), f"something still listens on port {port}"


def ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("CONTROLLER_PORT", "many", "--controller_port: invalid int value: 'many'"),
        ("CONTROLLER_PORT", "70000", "controller_port must be at most 65535"),
        ("NUM_LM_WORKER", "-1", "num_lm_worker must be at least 0"),
        ("NUM_LM_WORKER", "0", "both 0"),
        ("SESSION", "a.b", "no ':' and no '.'"),
        ("ENGINE", "magic", "engine must be vllm or transformers or auto"),
    ],
)
def test_a_wrong_variable_is_one_line(tmp_path: Path, policy: Path, name: str, value: str, message: str) -> None:
    process = begin(variables(tmp_path, policy) | {name: value})
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "logs").exists()


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SESSION", "of the environment")
    monkeypatch.setenv("LOGDIR", "logs")
    with pytest.raises(SystemExit):
        serve.main(["--session", "typed", "--print_config"])
    said = capsys.readouterr().out
    assert "session: typed\n" in said and "logdir: logs\n" in said


def test_the_stop_command_can_be_pasted_into_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    options = serve.ServeOptions(logdir="my logs")
    assert serve.stop_command(options) == "LOGDIR='my logs' sh reason/llm_service/stop_service.sh"
    assert serve.stop_command(serve.ServeOptions()) == "sh reason/llm_service/stop_service.sh"


@pytest.mark.slow
def test_of_two_starts_at_one_instant_one_is_refused(policy: Path, tmp_path: Path) -> None:
    environment = variables(tmp_path, policy)
    starts = [begin(environment) for _ in range(2)]
    try:
        said = [start.communicate(timeout=240)[1] for start in starts]
        assert sorted(start.returncode for start in starts) == [0, 2], said
        refused = next(text for start, text in zip(starts, said) if start.returncode)
        assert "under way" in refused or "are running" in refused
        pids = services.running(tmp_path / "logs")
        assert len(pids) == 2

        again = begin(environment | {"CONTROLLER_PORT": str(free_port()), "SESSION": environment["SESSION"] + "-b"})
        assert "services of" in again.communicate(timeout=60)[1]
        assert again.returncode == 2
        assert services.running(tmp_path / "logs") == pids
    finally:
        stop = begin(environment, "--stop")
        assert stop.communicate(timeout=60)[0] == "Stopped 2 processes\n"
    assert not any(map(alive, pids))
    nothing_is_left(environment)


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_command_is_served_whatever_proxy_the_environment_has(host: str, policy: Path, tmp_path: Path) -> None:
    if host == "::1" and not ipv6():
        pytest.skip("this machine has no IPv6")
    proxies = {"http_proxy": NOWHERE, "https_proxy": NOWHERE, "all_proxy": NOWHERE, "no_proxy": "", "NO_PROXY": ""}
    environment = variables(tmp_path, policy) | proxies | {"HOST_ADDR": host, "READY_SECONDS": "120"}
    client = ["sh", "scripts/eval/cot_greedy.sh", "--LM", policy.name, "--limit", "2", "--max_new_tokens", "4"]
    process = begin(environment, "--", *client, "--save_dir", str(tmp_path / "results"))
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, out + err
    assert "Method: cot. Average result:" in out
    assert out.endswith("Stopped 2 processes\n")
    nothing_is_left(environment)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("when", ["starting", "serving"])
def test_a_signal_stops_everything(number: signal.Signals, when: str, policy: Path, tmp_path: Path) -> None:
    environment = variables(tmp_path, policy)
    process = begin(environment, "--", "sh", "-c", "echo $$; sleep 1000")
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Starting") if when == "starting" else line.strip().isdecimal():
            break
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 128 + number
    if when == "serving":
        assert not alive(int(line))
    nothing_is_left(environment)
