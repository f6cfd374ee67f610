"""What every worker shares: arguments, registration with FastChat's controller, routes, typed errors, a clean end.

A worker is FastChat's `BaseModelWorker` with an application of our own: FastChat's routes lose a slot when a
model call raises, and its loggers take over stdout. A kind of worker subclasses `Worker`, answers
`generate`/`stream` (LM) or `value_inference` (PRM), and calls `main`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import hashlib
import json
import logging
import re
import signal
import socket
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar

import requests
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastchat.constants import WORKER_HEART_BEAT_INTERVAL, ErrorCode
from fastchat.conversation import Conversation, get_conv_template
from fastchat.serve import base_model_worker

from reason.model_cards import card as cards
from reason.model_cards.card import Card, LMCard

RETRY_SECONDS = 2.0  # between attempts to reach a controller that is away
GRACE_SECONDS = 3  # for requests in flight when the worker is told to stop

logger = logging.getLogger("worker")
Params = dict[str, Any]


class StartError(Exception):
    """The worker cannot start; the message is one line that says what to do. Exit status 2."""


class WorkerError(Exception):
    """A request cannot be answered. Becomes the reply `{"error_code", "text", "error": {...}}`."""

    def __init__(
        self,
        message: str,
        type: str = "BadRequest",
        code: int = ErrorCode.VALIDATION_TYPE_ERROR,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.type, self.code, self.retryable = type, int(code), retryable


class Worker(base_model_worker.BaseModelWorker):
    """One served model. Subclasses set `engine` and override what their kind answers."""

    engine: ClassVar[str]  # "vllm" | "transformers" | "prm", told at /model_details

    def __init__(self, args: argparse.Namespace, card: Card) -> None:
        base_model_worker.logger = logger  # otherwise the parent builds one that replaces stdout and stderr
        super().__init__(
            args.controller_address.rstrip("/"),
            args.worker_address,
            uuid.uuid4().hex[:8],
            args.model_path,
            args.model_names,
            args.limit_worker_concurrency,
        )
        self.card = card
        self.semaphore = asyncio.Semaphore(args.limit_worker_concurrency)
        self.stopping = threading.Event()

    def make_conv_template(self, conv_template: str | None = None, model_path: str | None = None) -> Conversation:
        """A layout that adds nothing: prompts come ready. (The parent's imports torch and transformers.)"""
        return get_conv_template("raw")

    # What a subclass answers. Each raises WorkerError for a request it cannot answer.

    async def start(self) -> None:
        """Runs in the event loop before the worker registers; for engines that need a running loop."""

    async def close(self) -> None:
        """Runs when the worker ends."""

    async def generate(self, params: Params) -> dict[str, Any]:
        """The reply to /worker_generate, without error_code."""
        raise WorkerError("this worker serves a reward model: use /worker_value_inference", "WrongWorker")

    def stream(self, params: Params) -> AsyncIterator[dict[str, Any]]:
        """The chunks of /worker_generate_stream, without error_code; "text" is the whole text so far."""
        raise WorkerError("this worker does not stream", "WrongWorker")

    async def value_inference(self, params: Params) -> dict[str, Any]:
        """The reply to /worker_value_inference, without error_code."""
        raise WorkerError("this worker serves a language model: use /worker_generate", "WrongWorker")

    def count_tokens(self, text: str) -> int:
        """Tokens of a text as the model reads it."""
        raise NotImplementedError

    def details(self) -> dict[str, Any]:
        """At least {"context_length": int, "dtype": str, "version": str}."""
        raise NotImplementedError

    # Registration, from a thread of its own so that a busy event loop cannot miss a heart-beat.

    def register_to_controller(self) -> None:
        """Tell the controller that this worker is there. Raises requests.RequestException."""
        payload = {
            "worker_name": self.worker_addr,
            "check_heart_beat": True,
            "worker_status": self.get_status(),
            "multimodal": False,
        }
        requests.post(f"{self.controller_addr}/register_worker", json=payload, timeout=5).raise_for_status()
        logger.info("registered %s at %s", ", ".join(self.model_names), self.controller_addr)

    def send_heart_beat(self) -> None:
        """Tell the controller that this worker lives, and register again where it forgot us."""
        payload = {"worker_name": self.worker_addr, "queue_length": self.get_queue_length()}
        reply = requests.post(f"{self.controller_addr}/receive_heart_beat", json=payload, timeout=5)
        reply.raise_for_status()
        if not reply.json()["exist"]:
            self.register_to_controller()

    def init_heart_beat(self) -> None:
        """Start to register and to beat; a controller that is away is retried for ever, and logged once."""
        self.heart_beat_thread = threading.Thread(target=self._keep_registered, daemon=True)
        self.heart_beat_thread.start()

    def _keep_registered(self) -> None:
        act, away = self.register_to_controller, False
        while not self.stopping.is_set():
            try:
                act()
                act, away, delay = self.send_heart_beat, False, WORKER_HEART_BEAT_INTERVAL
            except (requests.RequestException, KeyError, ValueError) as error:
                if not away:
                    logger.warning(
                        "the controller at %s does not answer (%s); trying again every %g s",
                        self.controller_addr, type(error).__name__, RETRY_SECONDS,
                    )  # fmt: skip
                away, delay = True, RETRY_SECONDS
            self.stopping.wait(delay)

    def model_details(self) -> dict[str, Any]:
        """The reply to /model_details."""
        card = cards.to_dict(self.card)
        return {**self.details(), "engine": self.engine, "card": card, "card_sha": card_sha(card)}


def card_sha(card: dict[str, Any]) -> str:
    """SHA-256 of a card as sorted-key JSON."""
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()


def with_template(card: Card, tokenizer: Any) -> Card:
    """The card with the tokenizer's chat template, where it needs one and has none. Raises StartError."""
    needed = not card.prompt if isinstance(card, LMCard) else card.chat
    if card.chat_template or not needed:
        return card
    template = tokenizer.chat_template
    if not isinstance(template, str):
        raise StartError(
            f"card {card.name!r} leaves the chat template to the tokenizer, which has none: give the card a "
            "`chat_template` or, for a language model, a `prompt`"
        )
    return dataclasses.replace(card, chat_template=template)


# Replies and errors.


def error_reply(error: BaseException) -> dict[str, Any]:
    """The typed reply for a failure; anything that is not a WorkerError is logged with its traceback."""
    if not isinstance(error, WorkerError):
        logger.error("a request failed", exc_info=error)
        if type(error).__name__ == "OutOfMemoryError" or isinstance(error, MemoryError):
            error = WorkerError(f"out of memory: {error}", "OutOfMemory", ErrorCode.CUDA_OUT_OF_MEMORY, True)
        else:
            error = WorkerError(f"{type(error).__name__}: {error}", "InternalError", ErrorCode.INTERNAL_ERROR, True)
    typed = {"type": error.type, "message": str(error), "retryable": error.retryable}
    return {"error_code": error.code, "text": str(error), "error": typed}


def encode(reply: dict[str, Any]) -> bytes:
    """JSON of a reply; one that holds NaN or infinity becomes a typed error."""
    try:
        return json.dumps(reply, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        message = "the model computed a number that is not finite (NaN or infinity)"
        return encode(error_reply(WorkerError(message, "NonFinite", ErrorCode.INTERNAL_ERROR)))


async def read_params(request: Request) -> Params:
    """The JSON object of a request. Raises WorkerError."""
    try:
        params = json.loads(await request.body())
    except ValueError as error:
        raise WorkerError(f"the request's body is not JSON: {error}") from None
    if not isinstance(params, dict):
        raise WorkerError("the request's body is not a JSON object")
    return params


async def unless_disconnected(request: Request, work: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    """Await `work`, but cancel it when the client hangs up: nobody waits for its tokens any more."""

    async def hang_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(hang_up())
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise WorkerError("the client hung up", "Disconnected", ErrorCode.INTERNAL_ERROR, True)
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


def application(worker: Worker) -> FastAPI:
    """The HTTP application of one worker. Every failure is HTTP 200 with a typed error."""

    async def answer(request: Request, call: Callable[[Params], Awaitable[dict[str, Any]]]) -> Response:
        try:
            params = await read_params(request)
            worker.call_ct += 1
            async with worker.semaphore:
                reply = {**await unless_disconnected(request, call(params)), "error_code": 0}
        except Exception as error:
            reply = error_reply(error)
        return Response(encode(reply), media_type="application/json")

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            worker.stopping.set()
            await worker.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.post("/worker_generate")
    async def generate(request: Request) -> Response:
        return await answer(request, worker.generate)

    @app.post("/worker_value_inference")
    async def value_inference(request: Request) -> Response:
        return await answer(request, worker.value_inference)

    @app.post("/worker_generate_stream")
    async def generate_stream(request: Request) -> Response:
        try:
            params = await read_params(request)  # here: a response that streams reads the request no more
        except WorkerError as error:
            return Response(encode(error_reply(error)) + b"\0")

        async def chunks() -> AsyncIterator[bytes]:
            try:
                worker.call_ct += 1
                async with worker.semaphore, contextlib.aclosing(worker.stream(params)) as stream:
                    async for chunk in stream:
                        yield encode({**chunk, "error_code": 0}) + b"\0"
            except Exception as error:
                yield encode(error_reply(error)) + b"\0"

        return StreamingResponse(chunks())

    @app.post("/count_token")
    async def count_token(request: Request) -> Response:
        try:
            prompt = (await read_params(request)).get("prompt")
            if not isinstance(prompt, str):
                raise WorkerError("count_token needs a `prompt`")
            reply = {"count": worker.count_tokens(prompt), "error_code": 0}
        except Exception as error:
            reply = error_reply(error)
        return Response(encode(reply), media_type="application/json")

    @app.post("/worker_get_status")
    async def status() -> Response:
        return JSONResponse(worker.get_status())

    @app.post("/worker_get_conv_template")
    async def conv_template() -> Response:
        return JSONResponse({"conv": dataclasses.asdict(worker.conv)})

    @app.post("/model_details")
    async def model_details() -> Response:
        return JSONResponse(worker.model_details())

    return app


# The command line and the life of the process.


def common_arguments(parser: argparse.ArgumentParser, concurrency: int, skip: tuple[str, ...] = ()) -> None:
    """Add the arguments that all workers share; `skip` leaves out those that an engine's own arguments define."""

    def add(name: str, **options: Any) -> None:
        if name not in skip:
            parser.add_argument(name, **options)

    add("--host", default="127.0.0.1", help="address to listen on")
    add("--port", type=int, default=30010)
    add("--worker-address", help="URL that the controller gives to clients; default: host and port")
    add("--controller-address", default="http://127.0.0.1:28777")
    add("--model-path", required=True, help="model folder, or owner/name of a hub")
    add("--model-names", type=lambda text: text.split(","), default=[], help="comma-separated; default: folder name")
    add("--card", help="name or path of a model card; default: the model's own, or the one that lists it")
    add("--limit-worker-concurrency", type=int, default=concurrency, help="requests worked on at the same time")
    add("--no-register", action="store_true", help="serve without a controller")
    add("--trust-remote-code", action="store_true", help="run code that the model's folder brings")


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, made before the model loads so that a taken port is known at once. Raises StartError."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise StartError(f"port {port} of {host} cannot be used ({error.strerror}): choose another --port") from None
    return listener


def check_model_path(path: str) -> None:
    """Raises StartError unless `path` is a folder with a model or looks like the id of a hub."""
    if Path(path).is_dir():
        if not any((Path(path) / name).is_file() for name in ("config.json", "adapter_config.json")):
            raise StartError(f"no model in {path}: it has no config.json and no adapter_config.json")
    elif not re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", path):
        raise StartError(f"no model at {path}: name its folder with --model-path")


@contextlib.contextmanager
def loading(path: str) -> Iterator[None]:
    """Whatever goes wrong inside becomes one line that names the model: StartError."""
    try:
        yield
    except StartError:
        raise
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0]
        raise StartError(f"the model {path} cannot be loaded: {type(error).__name__}: {reason}") from error


class Server(uvicorn.Server):
    """uvicorn that registers once it answers, and ends with status 0 when told to stop."""

    worker: Worker
    register: bool

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.worker.start()
        await super().startup(sockets=sockets)
        if self.started and self.register:
            self.worker.init_heart_beat()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.started:
            sys.exit(0)
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self.handle_exit)  # uvicorn would raise the signal again at the end
        yield


def serve(worker: Worker, listener: socket.socket, register: bool) -> None:
    """Answer requests on `listener` until SIGTERM or SIGINT. Raises StartError from the worker's `start`."""
    config = uvicorn.Config(
        application(worker), log_config=None, log_level="warning", access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS, timeout_keep_alive=75,
    )  # fmt: skip
    server = Server(config)
    server.worker, server.register = worker, register
    server.run(sockets=[listener])


def main(
    parser: argparse.ArgumentParser,
    kind: str,
    load: Callable[[argparse.Namespace, Card], Worker],
    argv: list[str] | None = None,
) -> None:
    """Parse, check, load the model with `load`, serve. Bad input is one line and exit status 2."""
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s: %(message)s")
    for name in ("httpx", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # while the model loads; `finally` blocks still run
    if args.worker_address is None:
        reachable = "127.0.0.1" if args.host in ("0.0.0.0", "::") else args.host
        args.worker_address = f"http://{reachable}:{args.port}"
    args.model_path = args.model_path.rstrip("/")
    try:
        check_model_path(args.model_path)
        card = cards.find(args.model_path, kind, args.card)
        listener = bind(args.host, args.port)
        serve(load(args, card), listener, not args.no_register)
    except (StartError, cards.CardError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(0)
