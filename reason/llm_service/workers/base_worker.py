"""What every worker shares: one served model, registration with FastChat's controller, typed errors.

A worker is FastChat's `BaseModelWorker` with an application of our own (`application`), because FastChat's routes lose
a slot when a model call raises, and a life of our own (`process`), because its loggers take over stdout. A kind of
worker subclasses `Worker`, answers `generate`/`stream` (LM) or `value_inference` (PRM), and calls `process.main`.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import threading
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import requests
from fastchat.constants import WORKER_HEART_BEAT_INTERVAL
from fastchat.conversation import Conversation, get_conv_template
from fastchat.serve import base_model_worker

from reason.common.files import sha256_of_json
from reason.engine.request import EngineError
from reason.model_cards import card as cards
from reason.model_cards.card import Card

RETRY_SECONDS = 2.0  # between attempts to reach a controller that is away

logger = logging.getLogger("worker")
Params = dict[str, Any]


class Worker(base_model_worker.BaseModelWorker):
    """One served model. Subclasses override what their kind answers."""

    takes_weights = False  # whether /worker_update_weights is answered, see `update_weights`

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
        self.to_controller = requests.Session()
        self.to_controller.trust_env = False  # the environment's proxy is for a hub, not for our own parts

    def make_conv_template(self, conv_template: str | None = None, model_path: str | None = None) -> Conversation:
        """A layout that adds nothing: prompts come ready. (The parent's imports torch and transformers.)"""
        return get_conv_template("raw")

    # What a subclass answers. Each raises EngineError for a request it cannot answer.

    async def start(self) -> None:
        """Runs in the event loop before the worker registers; for engines that need a running loop."""

    async def close(self) -> None:
        """Runs when the worker ends."""

    async def generate(self, params: Params) -> dict[str, Any]:
        """The reply to /worker_generate, without error_code."""
        raise EngineError("WrongWorker", "this worker serves a reward model: use /worker_value_inference")

    def stream(self, params: Params) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks of /worker_generate_stream, without error_code; "text" is the whole text so far."""
        raise EngineError("WrongWorker", "this worker does not stream")

    async def value_inference(self, params: Params) -> dict[str, Any]:
        """The reply to /worker_value_inference, without error_code."""
        raise EngineError("WrongWorker", "this worker serves a language model: use /worker_generate")

    async def take_weights(self, folder: Path) -> None:
        """Load the safetensors files of a folder in place, once no sample is under way, and forget what was cached."""
        raise NotImplementedError

    async def update_weights(self, params: Params) -> dict[str, Any]:
        """The reply to /worker_update_weights, without error_code. Raises EngineError.

        A trainer behind nothing but an address would change what all clients are served, so a worker does this only
        where it was started for it.
        """
        if not self.takes_weights:
            message = "this worker keeps its weights: start an LM worker with --allow-weight-updates"
            raise EngineError("WeightUpdatesOff", message)
        folder = params.get("folder")
        if not isinstance(folder, str) or not Path(folder).is_absolute():
            message = "folder: the whole path of a folder is needed, on a disk that this worker reads too"
            raise EngineError("BadRequest", message)
        if not any(Path(folder).glob("*.safetensors")):
            message = f"folder: {folder} has no *.safetensors file as this worker sees it: is the disk shared?"
            raise EngineError("BadRequest", message)
        await self.take_weights(Path(folder))
        return {"folder": folder}

    def count_tokens(self, text: str) -> int:
        """Tokens of a text as the model reads it."""
        raise NotImplementedError

    def details(self) -> dict[str, Any]:
        """At least {"engine": str, "context_length": int, "dtype": str, "version": str}."""
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
        url = f"{self.controller_addr}/register_worker"
        self.to_controller.post(url, json=payload, timeout=5).raise_for_status()
        logger.info("registered %s at %s", ", ".join(self.model_names), self.controller_addr)

    def send_heart_beat(self) -> None:
        """Tell the controller that this worker lives, and register again where it forgot us."""
        payload = {"worker_name": self.worker_addr, "queue_length": self.get_queue_length()}
        reply = self.to_controller.post(f"{self.controller_addr}/receive_heart_beat", json=payload, timeout=5)
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
        own = {"card": card, "card_sha": sha256_of_json(card), "weight_updates": self.takes_weights}
        return self.details() | own
