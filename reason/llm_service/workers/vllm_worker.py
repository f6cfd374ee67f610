"""Serve a policy LM with vLLM: `python -m reason.llm_service.workers.vllm_worker --model-path FOLDER`.

Takes every engine argument of vLLM beside the worker's own, on GPUs or with vLLM's CPU build.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import itertools
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastchat.constants import ErrorCode

from reason.llm_service.workers.base_worker import Params, Worker, WorkerError, with_template
from reason.llm_service.workers.generation import (
    Generated,
    GenerateRequest,
    decode_continuation,
    encode_prompt,
    finished,
    only_one,
    read_request,
    reply,
    stream_chunk,
)
from reason.llm_service.workers.process import common_arguments, loading, main
from reason.model_cards.card import Card

if TYPE_CHECKING:
    from vllm import RequestOutput

SEEDS = 2**63  # vLLM takes signed 64-bit seeds
CPU_CACHE_GIB = "4"
CPU_BLOCK = 32  # attention on a CPU takes multiples of it; the default of 128 reuses little of short chains

os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", CPU_CACHE_GIB)  # both are read when vllm is imported
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

import vllm  # noqa: E402
from vllm import SamplingParams, TokensPrompt  # noqa: E402
from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: E402
from vllm.platforms import current_platform  # noqa: E402
from vllm.sampling_params import RequestOutputKind  # noqa: E402
from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: E402
from vllm.v1.engine.async_llm import AsyncLLM  # noqa: E402


def engine_args(args: argparse.Namespace) -> AsyncEngineArgs:
    """vLLM's arguments with our defaults where the user gave none.

    Log-probabilities are of the distribution sampled from. On a CPU: float32, so that a sample does not depend on its
    batch; no chunked prefill, which kills seeded requests, hence room for a whole context in a batch.
    """
    args.model = args.model_path  # vLLM looks its default model up at once where the hub is off
    engine = AsyncEngineArgs.from_cli_args(args)
    engine.tensor_parallel_size = args.num_gpus or engine.tensor_parallel_size
    engine.logprobs_mode = "processed_logprobs"
    engine.disable_log_stats = True
    if engine.enable_prefix_caching is None:
        engine.enable_prefix_caching = True
    if current_platform.is_cpu():
        engine.dtype = "float32" if engine.dtype == "auto" else engine.dtype
        engine.block_size = engine.block_size or CPU_BLOCK
        engine.enable_chunked_prefill = False
        if engine.max_num_batched_tokens is None:
            config = Path(args.model_path) / "config.json"
            context = json.loads(config.read_text()).get("max_position_embeddings", 0) if config.is_file() else 0
            engine.max_num_batched_tokens = max(engine.max_model_len or context, 4096)
    return engine


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
        self.numbers = itertools.count()
        self.guard: subprocess.Popen | None = None

    async def start(self) -> None:
        """Start the engine: its process is up when this returns. Raises StartError."""
        with loading(self.arguments.model):
            self.llm = AsyncLLM.from_engine_args(self.arguments)
        self.guard = guard_children()
        self.context_len = self.llm.model_config.max_model_len
        self.vocabulary = self.llm.model_config.get_vocab_size()

    async def close(self) -> None:
        self.llm.shutdown()
        if self.guard:
            self.guard.stdin.close()  # it kills what the shutdown left

    def _sampling(self, request: GenerateRequest, seed: int, kind: RequestOutputKind) -> SamplingParams:
        return SamplingParams(
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=max(request.top_k, 0),
            max_tokens=request.max_tokens,
            stop=list(request.stop),
            stop_token_ids=list(request.stop_token_ids),
            ignore_eos=request.ignore_eos,
            include_stop_str_in_output=True,  # we cut ourselves, so that both engines cut the same
            seed=seed % SEEDS,
            logprobs=len(request.logprobs_of),  # beside the drawn token's
            logprob_token_ids=list(request.logprobs_of) or None,
            flat_logprobs=True,
            detokenize=bool(request.stop) or kind != RequestOutputKind.FINAL_ONLY,
            output_kind=kind,
        )

    async def _outputs(
        self, request: GenerateRequest, seed: int, kind: RequestOutputKind
    ) -> AsyncIterator[RequestOutput]:
        prompt = TokensPrompt(prompt_token_ids=request.prompt_ids)
        sampling = self._sampling(request, seed, kind)
        async for output in self.llm.generate(prompt, sampling, str(next(self.numbers))):
            yield output

    def _generated(self, request: GenerateRequest, output: RequestOutput) -> Generated:
        """The finished sample of vLLM's output. Raises WorkerError."""
        sample = output.outputs[0]
        if sample.finish_reason not in ("stop", "length"):
            message = f"vLLM ended a sample with {sample.finish_reason!r}"
            raise WorkerError(message, "InternalError", ErrorCode.INTERNAL_ERROR, True)
        by_token = sample.finish_reason == "stop" and not isinstance(sample.stop_reason, str)
        ids, logprob = list(sample.token_ids), sample.cumulative_logprob
        made = finished(self.tokenizer, request, ids, logprob, sample.finish_reason, by_token)
        made = dataclasses.replace(made, reused=output.num_cached_tokens or 0)
        if not request.logprobs_of:
            return made
        first = sample.logprobs[0]
        return dataclasses.replace(made, logprobs_of=tuple(first[i].logprob for i in request.logprobs_of))

    async def _sample(self, request: GenerateRequest, seed: int) -> Generated:
        async for output in self._outputs(request, seed, RequestOutputKind.FINAL_ONLY):
            last = output
        return self._generated(request, last)

    async def generate(self, params: Params) -> dict[str, Any]:
        """One request to the engine for each seed; the prefix cache computes their prompt once."""
        request = read_request(params, self.tokenizer, self.context_len, self.vocabulary)
        tasks = [asyncio.ensure_future(self._sample(request, seed)) for seed in request.seeds]
        try:
            return reply(request, await asyncio.gather(*tasks))
        finally:  # when one failed, or the client hung up, the others are not waited for
            for task in tasks:
                task.cancel()

    async def stream(self, params: Params) -> AsyncIterator[dict[str, Any]]:
        """One chunk for every output of the engine."""
        request = read_request(params, self.tokenizer, self.context_len, self.vocabulary)
        only_one(request)
        async for output in self._outputs(request, request.seeds[0], RequestOutputKind.CUMULATIVE):
            ids = list(output.outputs[0].token_ids)
            done = self._generated(request, output) if output.finished else None
            text = done.text if done else decode_continuation(self.tokenizer, request.prompt_ids, ids)
            yield stream_chunk(request, text, len(ids), done)

    def count_tokens(self, text: str) -> int:
        return len(encode_prompt(self.tokenizer, text))

    def details(self) -> dict[str, Any]:
        dtype = str(self.llm.model_config.dtype).removeprefix("torch.")
        return {"context_length": self.context_len, "dtype": dtype, "version": vllm.__version__}


def guard_children() -> subprocess.Popen:
    """A process that kills our child processes once we are gone, however we ended.

    It waits for the end of a pipe that only we hold. A killed worker would otherwise leave vLLM's engine behind.
    """
    import psutil

    children = [str(child.pid) for child in psutil.Process().children(recursive=True)]
    script = "trap '' INT TERM HUP; read -r _; sleep 1; kill -9 \"$@\" 2>/dev/null"
    return subprocess.Popen(["sh", "-c", script, "guard", *children], stdin=subprocess.PIPE, start_new_session=True)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = FlexibleArgumentParser(prog="vllm_worker", description=__doc__)
    AsyncEngineArgs.add_cli_args(parser)
    common_arguments(parser, concurrency=1024, skip=("--trust-remote-code",))
    parser.add_argument("--num-gpus", type=int, help="GPUs that share the model: vLLM's tensor_parallel_size")
    return parser


if __name__ == "__main__":
    main(arguments(), "lm", VLLMWorker)
