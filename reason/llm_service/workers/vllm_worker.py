"""Serve a policy LM with vLLM: `python -m reason.llm_service.workers.vllm_worker --model-path FOLDER`.

Takes every engine argument of vLLM beside the worker's own, on GPUs or with vLLM's CPU build.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from reason.engine.loading import loading
from reason.engine.request import encode_prompt
from reason.engine.vllm_engine import AsyncEngineArgs, VLLMEngine, with_defaults
from reason.llm_service.workers.base_worker import Params, Worker
from reason.llm_service.workers.process import common_arguments, main, weights_argument
from reason.llm_service.workers.wire import only_one, read_request, reply, stream_chunk
from reason.model_cards.card import Card, with_template


def engine_args(args: argparse.Namespace) -> AsyncEngineArgs:
    """vLLM's arguments from the command line."""
    args.model = args.model_path  # vLLM looks its default model up at once where the hub is off
    engine = AsyncEngineArgs.from_cli_args(args)
    engine.tensor_parallel_size = args.num_gpus or engine.tensor_parallel_size
    return with_defaults(engine, args.allow_weight_updates)


class VLLMWorker(Worker):
    """A policy LM behind vLLM's asynchronous engine."""

    engine = "vllm"

    def __init__(self, args: argparse.Namespace, card: Card) -> None:
        from transformers import AutoTokenizer

        arguments = engine_args(args)
        with loading(args.model_path):
            tokenizer = AutoTokenizer.from_pretrained(args.model_path, trust_remote_code=args.trust_remote_code)
        super().__init__(args, with_template(card, tokenizer))
        self.tokenizer, self.arguments = tokenizer, arguments
        self.takes_weights = args.allow_weight_updates

    async def start(self) -> None:
        """Start the engine: its process is up when this returns. Raises UserError."""
        with loading(self.arguments.model):
            self.batcher = VLLMEngine(self.arguments, self.tokenizer)
        self.context_len = self.batcher.context

    async def close(self) -> None:
        self.batcher.close()

    async def generate(self, params: Params) -> dict[str, Any]:
        request = read_request(params, self.tokenizer, self.context_len, self.batcher.vocabulary)
        return reply(request, await self.batcher.generate(request))

    async def stream(self, params: Params) -> AsyncIterator[dict[str, Any]]:
        """One chunk for every output of the engine."""
        request = read_request(params, self.tokenizer, self.context_len, self.batcher.vocabulary)
        only_one(request)
        async for sample in self.batcher.stream(request):
            done = sample if sample.finish_reason else None
            yield stream_chunk(request, sample.text, len(sample.token_ids), done)

    async def take_weights(self, folder: Path) -> None:
        await self.batcher.take_folder(folder)

    def count_tokens(self, text: str) -> int:
        return len(encode_prompt(self.tokenizer, text))

    def details(self) -> dict[str, Any]:
        return self.batcher.details()


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser = FlexibleArgumentParser(prog="vllm_worker", description=__doc__)
    AsyncEngineArgs.add_cli_args(parser)
    common_arguments(parser, concurrency=1024, skip=("--trust-remote-code",))
    weights_argument(parser)
    parser.add_argument("--num-gpus", type=int, help="GPUs that share the model: vLLM's tensor_parallel_size")
    return parser


if __name__ == "__main__":
    main(arguments(), "lm", VLLMWorker)
