"""A served LM that takes a policy's weights while it is trained."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from reason.inference.base import ModelError, ServiceError
from reason.inference.fastchat import FastChatLM

if TYPE_CHECKING:
    from torch import Tensor

SECONDS = 1800.0  # that a worker may take to load weights, the end of what it has under way included


@dataclass
class ServedRolloutLM(FastChatLM):
    """A `RolloutLM`. The weights go to the workers through a folder on a disk that all of them read."""

    folder: Path = Path("weights")
    writes: bool = True  # whether this process does; of several that push together, one

    @classmethod
    def over(cls, lm: FastChatLM, folder: Path, writes: bool) -> ServedRolloutLM:
        """The LM whose workers are `lm`'s. Raises ServiceError where they keep their weights."""
        if not lm.details.get("weight_updates"):
            raise ServiceError(f"the workers of {lm.pool.model!r} keep their weights: start them with "
                               "--allow-weight-updates (LM_ARGS of the service scripts)")  # fmt: skip
        return cls(lm.card, lm.details, lm.pool, folder.resolve(), writes)

    @property
    def replicas(self) -> int:
        """See `RolloutLM`."""
        return len(self.pool.workers)

    async def push(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """See `RolloutLM`. Every worker has the weights when this returns; each process goes through `weights`."""
        from safetensors.torch import save_file

        kept = {}
        for name, weight in weights:
            if self.writes:
                kept[name] = weight.cpu().contiguous()
        if not self.writes:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(save_file, kept, self.folder / "model.safetensors")
        errors = await asyncio.gather(*(self._push_to(worker.address) for worker in self.pool.workers))
        if any(errors):
            raise ModelError("; ".join(filter(None, errors)))

    async def _push_to(self, address: str) -> str | None:
        """What went wrong at one worker."""
        url, wanted = f"{address}/worker_update_weights", {"folder": str(self.folder)}
        try:
            timeout = aiohttp.ClientTimeout(total=SECONDS)
            async with self.pool.services.session.post(url, json=wanted, timeout=timeout) as reply:
                reply.raise_for_status()
                data: dict[str, Any] = await reply.json(content_type=None)
        except (aiohttp.ClientError, asyncio.TimeoutError, ValueError) as error:
            return f"the worker at {address} did not take the weights: {type(error).__name__}: {error}"
        return f"the worker at {address}: {data['text']}" if data["error_code"] else None

    async def close(self) -> None:
        """See `LanguageModel`. The workers stay, with the last weights."""
        if self.writes:
            shutil.rmtree(self.folder, ignore_errors=True)
        await super().close()
