"""Serve a policy LM with vLLM: `python -m reason.llm_service.workers.vllm_worker --model-path FOLDER`.

Takes every engine argument of vLLM beside the worker's own, on GPUs or with vLLM's CPU build.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file
    sys.path[0] = str(Path(__file__).resolve().parents[3])

from reason.engine.loading import loading, tokenizer_of
from reason.engine.vllm_engine import AsyncEngineArgs, VLLMEngine, with_defaults
from reason.inference.local import lm_card_of
from reason.llm_service.workers.lm_worker import LMWorker
from reason.llm_service.workers.process import common_arguments, main, weights_argument
from reason.model_cards.card import Card


def engine_args(args: argparse.Namespace) -> AsyncEngineArgs:
    """vLLM's arguments from the command line."""
    args.model = args.model_path  # vLLM looks its default model up at once where the hub is off
    engine = AsyncEngineArgs.from_cli_args(args)
    engine.tensor_parallel_size = args.num_gpus or engine.tensor_parallel_size
    return with_defaults(engine, args.allow_weight_updates)


class VLLMWorker(LMWorker):
    """A policy LM behind vLLM's asynchronous engine, which needs a running event loop."""

    def __init__(self, args: argparse.Namespace, card: Card, tokenizer: Any) -> None:
        super().__init__(args, card)
        self.tokenizer, self.arguments = tokenizer, engine_args(args)

    async def start(self) -> None:
        """Start the engine: its process is up when this returns. Raises UserError."""
        with loading(self.arguments.model):
            self.face(VLLMEngine(self.arguments, self.tokenizer))


def load(args: argparse.Namespace) -> VLLMWorker:
    """The worker, whose engine starts with it. Raises UserError."""
    tokenizer = tokenizer_of(args.model_path, args.trust_remote_code)
    return VLLMWorker(args, lm_card_of(args.model_path, args.card, tokenizer), tokenizer)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    parser: argparse.ArgumentParser = FlexibleArgumentParser(prog="vllm_worker", description=__doc__)
    AsyncEngineArgs.add_cli_args(parser)
    common_arguments(parser, concurrency=1024, skip=("--trust-remote-code",))
    weights_argument(parser)
    parser.add_argument("--num-gpus", type=int, help="GPUs that share the model: vLLM's tensor_parallel_size")
    return parser


if __name__ == "__main__":
    main(arguments(), load)
