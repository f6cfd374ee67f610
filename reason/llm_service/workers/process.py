"""A worker's command line, and its life from the first check to a clean end."""

from __future__ import annotations

import argparse
import contextlib
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import uvicorn

from reason.common.addresses import http_address
from reason.common.command import expect_many_requests
from reason.common.errors import UserError
from reason.engine.loading import check_model_path
from reason.engine.memory import keep_freed_memory
from reason.llm_service.workers.application import application
from reason.llm_service.workers.base_worker import Worker

GRACE_SECONDS = 3  # for requests in flight when the worker is told to stop


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


def weights_argument(parser: argparse.ArgumentParser) -> None:
    """Add the flag of workers that can take other weights while they serve."""
    parser.add_argument("--allow-weight-updates", action="store_true", help="let whoever reaches this worker replace "
                        "its weights by those in a folder: /worker_update_weights, for train/mat's --rollout_engine "
                        "served; keep it off where others reach the port")  # fmt: skip


def cache_argument(parser: argparse.ArgumentParser, what: str) -> None:
    """Add --cache-mb; `what`: which memory it is, and what for."""
    parser.add_argument(
        "--cache-mb", type=megabytes,
        help=f"memory for {what}; 0: none is kept; default 1024, on a GPU a quarter of what the model leaves free, "
        "at most 8192",
    )  # fmt: skip


def megabytes(text: str) -> int:
    """A number of megabytes, 0 or more, from the command line."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number of megabytes, 0 or more, not {text!r}")
    return int(text)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, made before the model loads so that a taken port is known at once. Raises UserError."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise UserError(f"port {port} of {host} cannot be used ({error.strerror}): choose another --port") from None
    return listener


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
    """Answer requests on `listener` until SIGTERM or SIGINT. Raises UserError from the worker's `start`."""
    config = uvicorn.Config(
        application(worker), log_config=None, log_level="warning", access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS, timeout_keep_alive=75,
    )  # fmt: skip
    server = Server(config)
    server.worker, server.register = worker, register
    server.run(sockets=[listener])


def main(
    parser: argparse.ArgumentParser,
    load: Callable[[argparse.Namespace], Worker],
    argv: list[str] | None = None,
) -> None:
    """Parse, check, load the model with `load`, serve. Bad input is one line and exit status 2."""
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s: %(message)s")
    for name in ("httpx", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # while the model loads; `finally` blocks still run
    if args.worker_address is None:
        args.worker_address = http_address(args.host, args.port)
    args.model_path = args.model_path.rstrip("/")
    try:
        check_model_path(args.model_path)
        listener = bind(args.host, args.port)
        keep_freed_memory()
        worker = load(args)
        gc.freeze()  # what is loaded stays, the collector need not go through it
        expect_many_requests()
        serve(worker, listener, not args.no_register)
    except UserError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(0)
