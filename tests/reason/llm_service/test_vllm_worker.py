"""The vLLM worker as a process. Skipped, with the reason, only where the engine cannot start."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
import torch

from reason.engine.request import decode_continuation
from tests.fakes import ROOT, free_port, post
from tests.reason.engine.tiny import bounds

pytestmark = [pytest.mark.slow, pytest.mark.vllm, pytest.mark.timeout(900)]
START_SECONDS = 600


def runs_here() -> bool:
    """A GPU, or a CPU that vLLM's CPU build runs on."""
    cpuinfo = Path("/proc/cpuinfo")
    return Path("/dev/nvidiactl").exists() or (cpuinfo.is_file() and "avx512f" in cpuinfo.read_text())


@pytest.fixture(scope="module")
def worker(policy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen]]:
    """(address, process) of a worker without a controller."""
    if find_spec("vllm") is None:
        pytest.skip("vllm is not installed")
    log, port = tmp_path_factory.mktemp("vllm") / "worker.log", free_port()
    command = [sys.executable, "-m", "reason.llm_service.workers.vllm_worker", "--model-path", str(policy)]
    command += ["--port", str(port), "--no-register", "--enforce-eager", "--dtype", "float32", "--allow-weight-updates"]
    command += ["--gpu-memory-utilization", "0.2"] if Path("/dev/nvidiactl").exists() else []
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output,
                                   env=os.environ | {"VLLM_CPU_KVCACHE_SPACE": "1"})  # fmt: skip
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + START_SECONDS
    try:
        while time.monotonic() < end and process.poll() is None:
            try:
                post(f"{address}/worker_get_status", {})
                break
            except OSError:
                time.sleep(0.5)
        else:
            tail = "\n".join(log.read_text().splitlines()[-20:])
            if runs_here():
                pytest.fail(f"vLLM must start on this machine, but did not:\n{tail}")
            pytest.skip(f"vLLM cannot start on this machine: {tail.splitlines()[-1] if tail else 'no output'}")
        yield address, process
    finally:
        process.kill()
        process.wait()


async def ask(address: str, *requests: dict[str, Any]) -> list[dict[str, Any]]:
    """The replies to requests that are in flight together."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(params: dict[str, Any]) -> dict[str, Any]:
            async with session.post(f"{address}/worker_generate", json=params) as reply:
                return await reply.json()

        return await asyncio.gather(*map(one, requests))


async def test_samples_depend_on_their_seed_alone(worker) -> None:
    address, _ = worker
    sampling: list[dict[str, Any]] = [{"temperature": 0}, {"temperature": 0.7, "top_p": 0.9}, {"top_k": 20}, {}]
    requests: list[dict[str, Any]] = [
        {"prompt": f"{i} + {i * i}\n", "seeds": [2**64 - i, i, i + 1, 99], "max_new_tokens": 12, **sampling[i % 4]}
        for i in range(1, 17)
    ]
    together = await ask(address, *requests)
    assert all(reply["error_code"] == 0 for reply in together)
    for request, reply in list(zip(requests, together))[:4]:
        (alone,) = await ask(address, request)
        assert alone["token_ids"] == reply["token_ids"]
        assert alone["cumulative_logprob"] == pytest.approx(reply["cumulative_logprob"], abs=1e-3)
        (single,) = await ask(address, request | {"n": 1, "seeds": [request["seeds"][2]]})
        assert single["token_ids"] == [reply["token_ids"][2]]
        assert [len(single[key]) for key in ("text", "finish_reason", "output_token_len")] == [1, 1, 1]


async def test_both_engines_agree_where_no_chance_is_involved(worker, engine, tokenizer) -> None:
    """Greedy tokens and their log-probability; stop texts; counts."""
    from reason.llm_service.workers.wire import read_request

    address, _ = worker
    params = {"prompt": "3 * 4 - 1\n", "temperature": 0, "max_new_tokens": 24}
    (reply,) = await ask(address, params)
    (ours,) = await engine.generate(read_request(params, bounds(tokenizer, 1024, engine.vocabulary)))
    assert reply["token_ids"] == [ours.token_ids]
    assert reply["text"] == [ours.text]
    assert reply["cumulative_logprob"] == [pytest.approx(ours.logprob, abs=1e-2)]
    assert reply["usage"]["completion_tokens"] == reply["output_token_len"][0] == len(ours.token_ids)


async def test_both_engines_tell_the_same_logprobs_of_tokens(worker, engine, tokenizer) -> None:
    """In a batch with requests that ask for none, or for others."""
    from reason.llm_service.workers.wire import read_request

    address, _ = worker
    wanted = [["Yes", "No"], ["7"], []]
    requests = [
        {"prompt": f"{i} + 1\n<|check|>", "seed": i, "max_new_tokens": 1 + i % 2, "logprobs_of": wanted[i % 3]}
        for i in range(12)
    ]
    replies = await ask(address, *requests, *({"prompt": f"{i}\n", "max_new_tokens": 9} for i in range(12)))
    for request, reply in zip(requests, replies):
        assert reply["error_code"] == 0
        (ours,) = await engine.generate(read_request(request, bounds(tokenizer, 1024, engine.vocabulary)))
        if request["logprobs_of"]:
            assert reply["logprobs_of"] == [pytest.approx(list(ours.logprobs_of), abs=1e-2)]
        else:
            assert "logprobs_of" not in reply
    (refused,) = await ask(address, requests[0] | {"temperature": 0.5})
    assert "logprobs_of" in refused["error"]["message"]


@pytest.mark.parametrize("include", [True, False])
async def test_stop_texts(worker, tokenizer, include: bool) -> None:
    address, _ = worker
    params = {"prompt": "5 - 4\n", "max_new_tokens": 200, "seeds": list(range(8)), "stop": ["7", "1"],
              "include_stop_str_in_output": include}  # fmt: skip
    (reply,) = await ask(address, params)
    stopped = 0
    prompt = tokenizer.encode("5 - 4\n")
    for text, ids, reason in zip(reply["text"], reply["token_ids"], reply["finish_reason"]):
        whole = decode_continuation(tokenizer, prompt, ids)
        ends = [whole.index(s) for s in "71" if s in whole]
        if ends:
            stopped += 1
            assert reason == "stop"
            assert text == whole[: min(ends) + include]
    assert stopped > 4


async def test_bad_requests_and_a_stream(worker) -> None:
    address, _ = worker
    (bad,) = await ask(address, {"prompt": "1" * 2000})
    assert bad["error"]["type"] == "ContextOverflow"
    params = {"prompt": "1 + 1\n", "seed": 3, "max_new_tokens": 8}
    (whole,) = await ask(address, params)
    chunks = [json.loads(c) for c in post(f"{address}/worker_generate_stream", params).split(b"\0")[:-1]]
    assert chunks[-1]["text"] == whole["text"][0]
    details = json.loads(post(f"{address}/model_details", {}))
    assert (details["engine"], details["dtype"], details["context_length"]) == ("vllm", "float32", 1024)


async def test_other_weights_are_taken_in_place(worker, policy: Path, tokenizer, tmp_path: Path) -> None:
    """Of a policy whose head is the embedding; samples under way end by the old ones, nothing cached outlives them."""
    from transformers import AutoModelForCausalLM

    address, _ = worker
    model = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32)
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.05)
    model.save_pretrained(tmp_path)
    params = {"prompt": "12 + 30 * 4\n", "seeds": list(range(4)), "max_new_tokens": 24}
    (before,) = await ask(address, params)
    under_way = asyncio.ensure_future(ask(address, params))
    await asyncio.sleep(0.5)
    done = await asyncio.to_thread(post, f"{address}/worker_update_weights", {"folder": str(tmp_path)})
    assert json.loads(done)["error_code"] == 0
    assert (await under_way)[0]["token_ids"] == before["token_ids"]
    (after,) = await ask(address, params)
    prompt = tokenizer.encode(params["prompt"])
    for ids, logprob in zip(after["token_ids"], after["cumulative_logprob"]):
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        assert logits.gather(-1, torch.tensor(ids)[:, None]).sum().item() == pytest.approx(logprob, abs=1e-2)
    assert json.loads(post(f"{address}/worker_update_weights", {"folder": str(policy)}))["error_code"] == 0
    (again,) = await ask(address, params)
    assert again["token_ids"] == before["token_ids"] != after["token_ids"]


def test_no_engine_outlives_a_killed_worker(worker) -> None:
    """The last test of the module: it ends the worker."""
    _, process = worker
    children = psutil.Process(process.pid).children(recursive=True)
    assert children
    process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
