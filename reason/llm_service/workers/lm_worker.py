"""What both LM workers are: an HTTP face over a `LocalLM`."""

from __future__ import annotations

import argparse
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from reason.engine.request import encode_prompt
from reason.inference.judge import lm_card
from reason.inference.local import LocalLM
from reason.llm_service.workers.base_worker import Params, Worker
from reason.llm_service.workers.wire import echoed, only_one, read_request, reply, stream_chunk
from reason.model_cards.card import Card, LMCard


class LMWorker(Worker):
    """One policy LM, or the LM of a generative judge."""

    lm: LocalLM

    def __init__(self, args: argparse.Namespace, card: Card) -> None:
        super().__init__(args, card)
        self.takes_weights = args.allow_weight_updates

    def face(self, engine: Any) -> None:
        """Answer by this engine from now on."""
        card = self.card if isinstance(self.card, LMCard) else lm_card(self.card)
        self.lm, self.context_len = LocalLM(card, engine), engine.context

    async def close(self) -> None:
        await self.lm.close()

    async def generate(self, params: Params) -> dict[str, Any]:
        request = read_request(params, self.lm.engine)
        return reply(request, await self.lm.engine.generate(request), echoed(params))

    async def stream(self, params: Params) -> AsyncGenerator[dict[str, Any], None]:
        """One chunk for every output of the engine."""
        request = read_request(params, self.lm.engine)
        only_one(request)
        async for sample in self.lm.engine.stream(request):
            done = sample if sample.finish_reason else None
            yield stream_chunk(request, sample.text, len(sample.token_ids), done, echoed(params))

    async def take_weights(self, folder: Path) -> None:
        await self.lm.engine.push_folder(folder)

    def count_tokens(self, text: str) -> int:
        return len(encode_prompt(self.lm.engine.tokenizer, text))

    def details(self) -> dict[str, Any]:
        return self.lm.details
