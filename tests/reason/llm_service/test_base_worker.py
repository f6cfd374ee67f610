"""What every worker does on the wire, whatever it serves: typed errors, slots, streams, the command line."""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
from collections.abc import AsyncGenerator, MutableMapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from reason.common.files import sha256_of_json
from reason.engine.request import EngineError
from reason.llm_service.workers import process
from reason.llm_service.workers.application import application
from reason.llm_service.workers.base_worker import Worker
from reason.model_cards import card as cards
from reason.model_cards.card import LMCard

SLOTS = 2


class Echo(Worker):
    """Answers with its request, after whatever the request asks to go wrong."""

    async def generate(self, params: dict[str, Any]) -> dict[str, Any]:
        if "raise" in params:
            typed = EngineError("BadRequest", "as asked")
            raise {"value": ValueError("as asked"), "memory": MemoryError("as asked"), "typed": typed}[params["raise"]]
        await asyncio.sleep(params.get("sleep", 0))
        return {"text": [params.get("prompt", "")], "score": float(params.get("score", 0))}

    async def stream(self, params: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        for end in range(1, 4):
            yield {"text": params["prompt"][:end]}
        raise EngineError("BadRequest", "as asked")

    def count_tokens(self, text: str) -> int:
        return len(text)

    def details(self) -> dict[str, Any]:
        return {"engine": "echo", "context_length": 9, "dtype": "none", "version": "0"}


def load(args: argparse.Namespace) -> Echo:
    return Echo(args, cards.find(args.model_path, "lm", args.card))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="echo")
    process.common_arguments(made, SLOTS)
    return made


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    args = parser().parse_args(["--model-path", str(tmp_path / "echo-model"), "--worker-address", "http://here"])
    return Echo(args, LMCard("c", prompt="{question}"))


@pytest.fixture
async def client(worker: Worker) -> AsyncGenerator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application(worker))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        yield client


@pytest.mark.parametrize(
    ("body", "type_", "retryable"),
    [
        ({"raise": "value"}, "InternalError", True),
        ({"raise": "memory"}, "OutOfMemory", True),
        ({"raise": "typed"}, "BadRequest", False),
        ({"score": "nan"}, "NonFinite", False),
        ({"score": "inf"}, "NonFinite", False),
    ],
)
async def test_failures_are_typed_and_free_their_slot(client, worker, body, type_, retryable) -> None:
    for _ in range(3 * SLOTS):
        answer = await client.post("/worker_generate", json=body)
        reply = answer.json()
        assert answer.status_code == 200
        assert reply["error_code"] != 0
        assert reply["error"] == {"type": type_, "message": reply["text"], "retryable": retryable}
    good = (await client.post("/worker_generate", json={"prompt": "x"})).json()
    assert good == {"text": ["x"], "score": 0.0, "error_code": 0}
    assert worker.get_queue_length() == 0


@pytest.mark.parametrize("body", ["[", "[]", "", "\xff", '{"prompt": ' + "[" * 100_000, '{"n": ' + "9" * 5000 + "}"])
@pytest.mark.parametrize("route", ["worker_generate", "worker_generate_stream", "count_token"])
async def test_a_body_that_is_no_object_is_named(client, body: str, route: str) -> None:
    reply = (await client.post(f"/{route}", content=body.encode("latin1"))).content.rstrip(b"\0")
    error = json.loads(reply)["error"]
    assert (error["type"], error["retryable"]) == ("BadRequest", False)


async def test_a_stream_is_chunks_with_a_nul_each_and_ends_with_its_error(client, worker) -> None:
    for _ in range(2 * SLOTS):
        body = (await client.post("/worker_generate_stream", json={"prompt": "abcd"})).content
        chunks = [json.loads(chunk) for chunk in body.split(b"\0")[:-1]]
        assert [chunk["text"] for chunk in chunks] == ["a", "ab", "abc", "as asked"]
        assert [chunk["error_code"] != 0 for chunk in chunks] == [False, False, False, True]
    assert worker.get_queue_length() == 0


async def test_the_queue_is_bounded_and_told(client, worker) -> None:
    waiting = [asyncio.ensure_future(client.post("/worker_generate", json={"sleep": 0.3})) for _ in range(SLOTS + 3)]
    await asyncio.sleep(0.15)
    assert (await client.post("/worker_get_status")).json() == {
        "model_names": ["echo-model"], "speed": 1, "queue_length": SLOTS + 3,
    }  # fmt: skip
    await asyncio.gather(*waiting)
    assert worker.get_queue_length() == 0


async def test_a_client_that_hangs_up_ends_its_work(worker) -> None:
    sent: list[MutableMapping[str, Any]] = []
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": b'{"sleep": 60}', "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(0)
        return messages.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/worker_generate", "headers": [], "query_string": b""}
    await asyncio.wait_for(application(worker)(scope, receive, send), timeout=5)
    assert worker.get_queue_length() == 0


async def test_the_other_routes(client) -> None:
    assert (await client.post("/count_token", json={"prompt": "abc"})).json() == {"count": 3, "error_code": 0}
    assert (await client.post("/worker_get_conv_template")).json()["conv"]["name"] == "raw"
    details = (await client.post("/model_details")).json()
    assert details["card"]["prompt"] == "{question}"
    assert details["card_sha"] == sha256_of_json(details["card"])
    assert (details["context_length"], details["engine"]) == (9, "echo")
    wrong = (await client.post("/worker_value_inference", json={"input_str": "x"})).json()
    assert wrong["error"]["type"] == "WrongWorker"


@pytest.mark.parametrize("wrong", ["path", "empty", "card", "port"])
def test_bad_arguments_are_one_line_and_status_2(wrong: str, tmp_path: Path, capsys) -> None:
    model, card, port = tmp_path / "model", "qwen2.5-math", "0"
    if wrong != "path":
        model.mkdir()
    if wrong not in ("path", "empty"):
        (model / "config.json").write_text("{}")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        if wrong == "port":
            port = str(taken.getsockname()[1])
        if wrong == "card":
            card = "nosuch"
        with pytest.raises(SystemExit) as end:
            process.main(parser(), load, ["--model-path", str(model), "--card", card, "--port", port])
    said = capsys.readouterr().err
    assert end.value.code == 2
    assert said.count("\n") == 1
    assert {"path": "no model at", "empty": "config.json", "card": "qwen2.5-math", "port": "--port"}[wrong] in said
