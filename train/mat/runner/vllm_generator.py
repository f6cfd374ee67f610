"""Solutions from a vLLM engine that this process starts, on the same GPU or CPU.

The engine starts with random weights and is given the policy's at each `push`, through memory and in place. So what a
push left out would show in the log-probabilities that `verify` looks at.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Coroutine, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import torch

from reason.common.errors import RunError, UserError
from reason.engine.loading import context_length, loading
from reason.engine.request import EngineError, Generated
from reason.inference.base import ModelError, Sampling
from train.mat.agents.policy import Policy
from train.mat.runner.generator import request

if TYPE_CHECKING:
    from reason.engine.vllm_engine import VLLMEngine

OF_TORCHRUN = {"RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"}


class VLLMGenerator:
    """Has weights of its own: it may sample while the policy learns.

    Its event loop is in a thread, so that `push` can wait for it from a loop that waits for nothing else.
    """

    replicas = 1

    def __init__(self, policy: Policy, path: str, rows: int, gpu_memory: float, trust_remote_code: bool) -> None:
        """path: where vLLM finds config and tokenizer; gpu_memory: share of the GPU's memory that it may take."""
        self.policy, self.path, self.rows, self.gpu_memory = policy, path, rows, gpu_memory
        self.trust_remote_code = trust_remote_code
        self.dtype = policy.sampler_dtype
        self.loop = asyncio.new_event_loop()
        self.engine: VLLMEngine | None = None
        threading.Thread(target=self.loop.run_forever, name="vllm", daemon=True).start()

    def start(self) -> None:
        """See `RolloutEngine`."""
        if self.engine is not None:
            return
        try:
            with loading(self.path), own_environment(self.policy.device):
                self.engine = self._wait(self._start())
        except UserError as error:
            raise UserError(f"--rollout_engine vllm: {error}") from error

    def push(self) -> None:
        """See `RolloutEngine`."""
        self.start()
        assert self.engine is not None
        try:
            self._wait(self.engine.push(self.policy.plain_weights()))
        except EngineError as error:
            raise RunError(str(error)) from None

    async def generate(self, prompt_ids: list[int], seeds: Sequence[int], sampling: Sampling) -> list[Generated]:
        """See `RolloutEngine`."""
        if self.engine is None:
            raise RuntimeError("push the policy's weights first")
        work = self.engine.generate(request(self.policy.card, prompt_ids, seeds, sampling))
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))
        except EngineError as error:
            raise ModelError(f"sampling failed: {error}") from None

    def close(self) -> None:
        """See `RolloutEngine`."""
        if self.engine is not None:
            self._wait(self._end(self.engine))
            self.engine = None
        self.loop.call_soon_threadsafe(self.loop.stop)

    async def _start(self) -> VLLMEngine:
        from reason.engine.vllm_engine import AsyncEngineArgs, VLLMEngine, with_defaults

        arguments = AsyncEngineArgs(
            model=self.path,
            dtype=str(self.dtype).removeprefix("torch."),
            max_model_len=context_length(self.policy.causal.config.get_text_config()),
            max_num_seqs=self.rows,
            gpu_memory_utilization=self.gpu_memory,
            load_format="dummy",
            trust_remote_code=self.trust_remote_code,
        )
        return VLLMEngine(with_defaults(arguments, new_weights=True), self.policy.tokenizer)

    @staticmethod
    async def _end(engine: VLLMEngine) -> None:
        """In the engine's own loop, whose tasks it ends."""
        engine.close()

    def _wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()


@contextlib.contextmanager
def own_environment(device: torch.device) -> Iterator[None]:
    """What the engine's process is to inherit: this process's GPU as its only one, and nothing of torchrun's.

    It is spawned, because a fork of a process whose threads compute may wait for them for ever.
    """
    before = dict(os.environ)
    for name in OF_TORCHRUN:
        os.environ.pop(name, None)
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"
    if device.type == "cuda":
        torch.cuda.empty_cache()
        visible = before.get("CUDA_VISIBLE_DEVICES")
        number = device.index or 0
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[number] if visible else str(number)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
