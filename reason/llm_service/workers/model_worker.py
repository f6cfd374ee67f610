"""Serve a policy LM with transformers: `python -m reason.llm_service.workers.model_worker --model-path FOLDER`.

Takes any attention-only causal LM, on a CPU or one GPU; concurrent requests share forward passes, see
`transformers_engine.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

if __package__ in (None, ""):  # run as a file
    sys.path[0] = str(Path(__file__).resolve().parents[3])

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from reason.engine.loading import context_length, end_tokens, loading
from reason.engine.memory import cache_bytes
from reason.engine.request import encode_prompt
from reason.engine.slots import ATTENTION
from reason.engine.transformers_engine import Engine
from reason.engine.weights import load_weights, read_weights
from reason.llm_service.workers.base_worker import Params, Worker
from reason.llm_service.workers.process import cache_argument, common_arguments, main, weights_argument
from reason.llm_service.workers.wire import only_one, read_request, reply, stream_chunk
from reason.model_cards.card import Card, with_template

GIB = 2**30


class ModelWorker(Worker):
    """A policy LM behind the transformers engine."""

    engine = "transformers"

    def __init__(self, args: argparse.Namespace, card: Card) -> None:
        device = args.device
        dtype = getattr(torch, args.dtype or ("float32" if device == "cpu" else "bfloat16"))
        options = {"trust_remote_code": args.trust_remote_code}
        with loading(args.model_path):
            tokenizer = AutoTokenizer.from_pretrained(args.model_path, **options)
            self.model = AutoModelForCausalLM.from_pretrained(
                args.model_path, dtype=dtype, attn_implementation=ATTENTION, **options
            )
            self.model.to(device).eval()
        super().__init__(args, with_template(card, tokenizer))
        self.tokenizer, self.takes_weights = tokenizer, args.allow_weight_updates
        config = self.model.config.get_text_config()
        self.context_len = min(context_length(config), args.max_model_len or config.max_position_embeddings)
        cache = cache_bytes(device, args.cache_mb)
        free = torch.cuda.mem_get_info()[0] * 0.8 - cache if device == "cuda" else 4 * GIB
        kv_bytes = int(args.kv_cache_gib * GIB if args.kv_cache_gib else free)
        ends = end_tokens(self.model, tokenizer)
        self.share = args.share_samples
        self.batcher = Engine(self.model, tokenizer, ends, args.max_num_seqs, kv_bytes, cache, self.share)

    async def close(self) -> None:
        self.batcher.close()

    async def generate(self, params: Params) -> dict[str, Any]:
        request = read_request(params, self.tokenizer, self.context_len, self.batcher.vocabulary)
        return reply(request, await self.batcher.generate(request))

    async def stream(self, params: Params) -> AsyncIterator[dict[str, Any]]:
        """One chunk a token."""
        request = read_request(params, self.tokenizer, self.context_len, self.batcher.vocabulary)
        only_one(request)
        async for sample in self.batcher.stream(request):
            done = sample if sample.finish_reason else None
            yield stream_chunk(request, sample.text, len(sample.token_ids), done)

    async def take_weights(self, folder: Path) -> None:
        weights = await asyncio.to_thread(read_weights, folder)
        await self.batcher.change(lambda: load_weights(self.model, weights))

    def count_tokens(self, text: str) -> int:
        return len(encode_prompt(self.tokenizer, text))

    def details(self) -> dict[str, Any]:
        dtype = str(self.model.dtype).removeprefix("torch.")
        own = {"context_length": self.context_len, "dtype": dtype, "version": transformers.__version__}
        return own | {"share_samples": self.share}


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="model_worker", description=__doc__)
    common_arguments(parser, concurrency=1024)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", choices=["float32", "bfloat16", "float16"],
                        help="default: float32 on a CPU, bfloat16 on a GPU")  # fmt: skip
    parser.add_argument("--max-model-len", type=int, help="context; default: the model's")
    parser.add_argument("--max-num-seqs", type=int, default=1024, help="samples under way; default %(default)s")
    parser.add_argument("--share-samples", action=argparse.BooleanOptionalAction, default=True,
                        help="compute once what samples of a request have in common; default: yes; the samples are the "
                        "same either way")  # fmt: skip
    parser.add_argument("--kv-cache-gib", type=float,
                        help="memory for keys and values of samples under way; default: 4, on a GPU 0.8 of what is "
                        "free, the cache aside")  # fmt: skip
    weights_argument(parser)
    cache_argument(parser, "keys and values of finished samples, so that a prompt that goes on from one costs nothing")
    return parser


if __name__ == "__main__":
    main(arguments(), "lm", ModelWorker)
