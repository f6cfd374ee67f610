"""Stand-ins for models and services: a solver of arithmetic that errs by its seed, a judge that knows the truth, and
HTTP workers around them that misbehave on demand. Register the workers at a real FastChat controller.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from aiohttp import web

from envs.arithmetic.expression import ExpressionError, Op, apply, parse, reductions, replace, to_text
from envs.arithmetic.oracle import judge
from envs.base_env import Problem
from reason.inference.base import ModelError, Sample, Sampling
from reason.inference.ledger import Ledger
from reason.model_cards.card import LMCard, PRMCard, to_dict
from scripts.bench.ports import free_port

ROOT = Path(__file__).resolve().parents[1]
LM_CARD = LMCard(name="fake-policy", prompt="{question}\n", step_separator="\n", sampling={"temperature": 1.0})
PRM_CARD = PRMCard(name="fake-prm", head="token_logits", step_tag="<|step|>", good="<|good|>", bad="<|bad|>")
JUDGE_CARD = PRMCard(
    "fake-judge", "generative", question="{question}\n", step="{step}", strip=False, ask="?", good="Yes", bad="No"
)


def chance(*parts: object) -> float:
    """A number in [0, 1) that is a function of `parts`."""
    digest = hashlib.blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def solve_text(prompt: str, seed: int, temperature: float, stop: Sequence[str], error_rate: float = 0.15) -> str:
    """Continue `question\\nstep\\n...` by leftmost reductions, each wrong by 10 with chance `error_rate`.

    Greedy text errs by the line alone, so that it does not depend on the seed.
    """
    line = prompt.removesuffix("\n").rpartition("\n")[2].rpartition("; ")[2]
    text = ""
    try:
        expr = parse(line)
    except ExpressionError:
        return "?"
    while isinstance(expr, Op):
        path, node = next(reductions(expr))
        assert isinstance(node.left, int) and isinstance(node.right, int)
        value = apply(node.op, node.left, node.right)
        if chance(to_text(expr), seed if temperature > 0 else "greedy") < error_rate:
            value += 10
        expr = replace(expr, path, value)
        right = f"({node.right})" if node.right < 0 else str(node.right)
        text += f"{node.left} {node.op} {right} = {value}"
        if isinstance(expr, Op):
            text += f"; {to_text(expr)}\n"
            if "\n" in stop:
                break
    return text


class FakeLM:
    """A `LanguageModel` in this process. `failing` questions raise, `delay` seconds pass before each answer."""

    card = LM_CARD
    details: ClassVar[dict[str, Any]] = {"engine": "fake"}

    def __init__(self, failing: Sequence[str] = (), delay: float = 0.0) -> None:
        self.failing, self.delay, self.in_flight, self.most_in_flight = failing, delay, 0, 0

    async def generate(
        self, prompt: str | Sequence[int], sampling: Sampling, seeds: Sequence[int], ledger: Ledger
    ) -> list[Sample]:
        """See `LanguageModel.generate`."""
        assert isinstance(prompt, str)
        self.in_flight += 1
        self.most_in_flight = max(self.in_flight, self.most_in_flight)
        await asyncio.sleep(self.delay * chance(prompt, *seeds))
        self.in_flight -= 1
        if any(prompt.startswith(question) for question in self.failing):
            raise ModelError("told to fail")
        texts = [solve_text(prompt, seed, sampling.temperature, sampling.stop) for seed in seeds]
        ledger.lm_calls += 1
        ledger.generated_tokens += sum(map(len, texts))
        return [Sample(text, len(text), "stop") for text in texts]

    async def logprobs_of(self, prompt: str, tokens: Sequence[str], ledger: Ledger) -> list[float]:
        """See `LanguageModel.logprobs_of`."""
        raise ModelError("a fake tells none")

    async def close(self) -> None:
        """See `LanguageModel.close`."""


class FakeRM:
    """A `RewardModel` in this process: 0.9 while no error was made, then 0.1, blurred a little."""

    card = PRM_CARD
    details: ClassVar[dict[str, Any]] = {"engine": "fake"}

    async def score(self, problem: Problem, solutions: Sequence[Sequence[str]], ledger: Ledger) -> list[list[float]]:
        """See `RewardModel.score`."""
        ledger.prm_calls += 1
        return [judge_scores(problem.question, steps) for steps in solutions]

    async def close(self) -> None:
        """See `RewardModel.close`."""


def judge_scores(question: str, steps: Sequence[str]) -> list[float]:
    """One score a step."""
    verdicts = judge(question, steps)
    return [(0.9 if v.prefix_ok else 0.1) - 0.05 * chance(*steps[: i + 1]) for i, v in enumerate(verdicts)]


def judge_reply(prompt: str, tokens: Sequence[str]) -> dict[str, Any]:
    """The reply to /worker_generate that asks for the probabilities of the verdicts, in the layout of JUDGE_CARD."""
    question, *steps = prompt.removesuffix(JUDGE_CARD.ask).splitlines(keepends=True)
    score = judge_scores(question.strip(), steps)[-1]
    logprobs = [math.log({"Yes": score, "No": 1 - score}[token]) for token in tokens]
    return {
        "text": ["Yes"], "error_code": 0, "cumulative_logprob": [logprobs[0]], "output_token_len": [1],
        "finish_reason": ["length"], "usage": {"prompt_tokens": len(prompt), "completion_tokens": 1},
        "logprobs_of": [logprobs],
    }  # fmt: skip


# What a worker can do wrong, by name: given (request, reply as it should be) it answers in its place.
Fault = Callable[[web.Request, dict[str, Any]], Any]


async def _hang(request: web.Request, reply: dict[str, Any]) -> web.Response:
    await asyncio.sleep(3600)
    return web.json_response(reply)


async def _drop(request: web.Request, reply: dict[str, Any]) -> web.Response:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def _answer(make: Callable[[dict[str, Any]], Any]) -> Fault:
    async def fault(request: web.Request, reply: dict[str, Any]) -> web.Response:
        made = make(reply)
        return made if isinstance(made, web.Response) else web.Response(text=json.dumps(made))

    return fault


def _shorter(reply: dict[str, Any]) -> dict[str, Any]:
    key = "value" if "value" in reply else "text"
    return reply | {key: [row[:-1] for row in reply[key]] if key == "value" else reply[key] * 2}


FAULTS: dict[str, Fault] = {
    "status_500": _answer(lambda reply: web.Response(status=500, text="Internal Server Error")),
    "html": _answer(lambda reply: web.Response(text="<html>gateway</html>", content_type="text/html")),
    "hang": _hang,
    "drop": _drop,
    "wrong_count": _answer(_shorter),
    "nan": _answer(lambda reply: reply | {"value": [[float("nan")] * len(row) for row in reply.get("value", [])]}),
    "not_a_list": _answer(lambda reply: reply | {"value": "0.5", "text": None}),
    "array": _answer(lambda reply: [1, 2, 3]),
    "error_code": _answer(
        lambda reply: {
            "error_code": 40303,
            "text": "the prompt is too long",
            "error": {"type": "ContextLength", "message": "the prompt is too long", "retryable": False},
        }
    ),
}


class FakeWorker:
    """An HTTP worker of one model in a thread of its own. Use as a context, with the controller's address.

    `faults` maps a question to the name of a fault that every request about it meets; `once` to a fault that
    only its first request meets. `delay` is the longest time in seconds that a reply takes.
    """

    def __init__(
        self,
        name: str,
        controller: str,
        card: LMCard | PRMCard,
        faults: dict[str, str] | None = None,
        once: dict[str, str] | None = None,
        delay: float = 0.0,
    ) -> None:
        self.name, self.controller, self.card, self.delay = name, controller, card, delay
        self.faults, self.once = faults or {}, dict(once or {})
        self.requests: Counter[str] = Counter()  # by route
        self.address = f"http://127.0.0.1:{free_port()}"

    def __enter__(self) -> FakeWorker:
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(started,), daemon=True)
        self._thread.start()
        assert started.wait(20)
        status = {"model_names": [self.name], "speed": 1, "queue_length": 0}
        post(
            f"{self.controller}/register_worker",
            {"worker_name": self.address, "check_heart_beat": False, "worker_status": status},
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(client_max_size=2**26)
        app.add_routes([web.post("/{route}", self._handle)])
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        port = int(self.address.rpartition(":")[2])
        self._loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", port).start())
        started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())

    async def _handle(self, request: web.Request) -> web.Response:
        route = request.match_info["route"]
        self.requests[route] += 1
        if route == "worker_get_status":
            return web.json_response({"model_names": [self.name], "speed": 1, "queue_length": 0})
        if route == "model_details":
            return web.json_response({"context_length": 4096, "card": to_dict(self.card), "engine": "fake"})
        data = await request.json()
        if route == "worker_generate":
            question, reply = data["prompt"].partition("\n")[0], self._generate(data)
        else:
            question, reply = data["inputs"][0]["question"], self._score(data)
        await asyncio.sleep(self.delay * chance(*map(str, data.values())))
        fault = self.faults.get(question) or self.once.pop(question, None)
        if fault is not None:
            return await FAULTS[fault](request, reply)
        return web.json_response(reply)

    def _generate(self, data: dict[str, Any]) -> dict[str, Any]:
        if "logprobs_of" in data:
            return judge_reply(data["prompt"], data["logprobs_of"])
        texts = [solve_text(data["prompt"], seed, data["temperature"], data["stop"]) for seed in data["seeds"]]
        return {
            "text": texts,
            "error_code": 0,
            "usage": {"prompt_tokens": len(data["prompt"]), "completion_tokens": sum(map(len, texts))},
            "cumulative_logprob": [-1.0] * len(texts),
            "output_token_len": [len(text) for text in texts],
            "finish_reason": ["stop"] * len(texts),
        }

    def _score(self, data: dict[str, Any]) -> dict[str, Any]:
        value = [judge_scores(item["question"], item["steps"]) for item in data["inputs"]]
        tokens = sum(len("".join(item["steps"])) for item in data["inputs"])
        return {"value": value, "error_code": 0, "usage": {"computed_tokens": tokens, "reused_tokens": 0}}


def post(url: str, data: dict[str, Any]) -> bytes:
    """POST JSON and return the body."""
    body = json.dumps(data).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as reply:
        return reply.read()


@contextmanager
def fastchat_controller(folder: Path) -> Iterator[str]:
    """FastChat's own controller as a process of its own; yields its address. Its log goes into `folder`."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "fastchat.serve.controller", "--host", "127.0.0.1", "--port", str(port)],
        cwd=folder,
        env=os.environ | {"LOGDIR": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 60
    try:
        while True:
            try:
                post(f"{address}/list_models", {})
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("the FastChat controller did not start") from None
                time.sleep(0.2)
        yield address
    finally:
        process.send_signal(signal.SIGKILL)  # its heart-beat thread outlives a polite end
        process.wait()
