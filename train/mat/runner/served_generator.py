"""Solutions from LM workers behind the controller; the weights go to each of them through a folder on a shared disk."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests
import torch
from safetensors.torch import save_file

from reason.common.errors import RunError
from reason.engine.request import Generated
from reason.inference.base import ModelError, Sampling
from reason.inference.fastchat import FastChatLM
from train.mat.agents.policy import Policy

SECONDS = 1800.0  # that a worker may take to load weights, the end of what it has under way included


class ServedGenerator:
    """The workers have weights of their own: they may sample while the policy learns."""

    def __init__(self, policy: Policy, served: FastChatLM, folder: Path, pushes: bool) -> None:
        """`folder` is for the weights, read by all workers under the same path. `pushes`: whether this process does."""
        self.policy, self.pool, self.folder, self.pushes = policy, served.pool, folder.resolve(), pushes
        self.replicas = len(self.pool.workers)
        self.dtype = getattr(torch, served.details["dtype"])

    def start(self) -> None:
        """See `RolloutEngine`. The workers have started."""

    def push(self) -> None:
        """See `RolloutEngine`. Every worker has the weights when this returns."""
        weights = {}
        for name, weight in self.policy.plain_weights():  # in all processes: each may have a part of them
            if self.pushes:
                weights[name] = weight.cpu().contiguous()
        if not self.pushes:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        save_file(weights, self.folder / "model.safetensors")
        with ThreadPoolExecutor(self.replicas) as threads:
            errors = list(filter(None, threads.map(self._push_to, [one.address for one in self.pool.workers])))
        if errors:
            raise RunError("; ".join(errors))

    def _push_to(self, address: str) -> str | None:
        """What went wrong at one worker."""
        url, wanted = f"{address}/worker_update_weights", {"folder": str(self.folder)}
        try:
            with requests.Session() as session:
                session.trust_env = False  # the environment's proxy is not for our own parts
                reply = session.post(url, json=wanted, timeout=SECONDS)
                reply.raise_for_status()
                data = reply.json()
        except (requests.RequestException, ValueError) as error:
            return f"the worker at {address} did not take the weights: {error}"
        return f"the worker at {address}: {data['text']}" if data["error_code"] else None

    async def generate(self, prompt_ids: list[int], seeds: Sequence[int], sampling: Sampling) -> list[Generated]:
        """See `RolloutEngine`."""
        wanted = {
            "model": self.pool.model,
            "prompt_token_ids": prompt_ids,
            "n": len(seeds),
            "seeds": list(seeds),
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "top_k": sampling.top_k,
            "max_new_tokens": sampling.max_tokens,
            "stop": list(self.policy.card.stop),
            "include_stop_str_in_output": True,
        }
        reply = await self.pool.post("worker_generate", wanted)
        try:
            names = ("text", "token_ids", "cumulative_logprob", "finish_reason")
            rows = zip(seeds, *(reply[name] for name in names), strict=True)
            return [Generated(*row) for _, *row in rows]
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the LM worker's reply is malformed: {type(error).__name__}: {error}") from None

    def close(self) -> None:
        """See `RolloutEngine`. The workers stay, with the last weights."""
        if self.pushes:
            shutil.rmtree(self.folder, ignore_errors=True)
