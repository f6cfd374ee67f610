"""vLLM's asynchronous engine behind the requests and samples that all of this project's engines have."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from reason.engine import vllm_weights
from reason.engine.request import EngineError, Generated, GenerateRequest, decode_continuation, finished

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
from vllm.exceptions import VLLMServerError  # noqa: E402
from vllm.platforms import current_platform  # noqa: E402
from vllm.sampling_params import RequestOutputKind  # noqa: E402
from vllm.v1.engine.async_llm import AsyncLLM  # noqa: E402


def with_defaults(engine: AsyncEngineArgs, new_weights: bool) -> AsyncEngineArgs:
    """vLLM's arguments with our defaults where none were given; `new_weights`: for an engine that is to take some.

    Log-probabilities are of the distribution sampled from. On a CPU: float32, so that a sample does not depend on its
    batch; no chunked prefill, which kills seeded requests, hence room for a whole context in a batch; nothing compiled
    where weights change, because compiled code would keep the packed ones that it was made with.
    """
    engine.logprobs_mode = "processed_logprobs"
    engine.disable_log_stats = True
    if engine.enable_prefix_caching is None:
        engine.enable_prefix_caching = True
    if new_weights:
        engine.worker_extension_cls = vllm_weights.NAME
    if current_platform.is_cpu():
        engine.dtype = "float32" if engine.dtype == "auto" else engine.dtype
        engine.block_size = engine.block_size or CPU_BLOCK
        engine.enable_chunked_prefill = False
        engine.enforce_eager = engine.enforce_eager or new_weights
        if engine.max_num_batched_tokens is None:
            config = Path(engine.model) / "config.json"
            context = json.loads(config.read_text()).get("max_position_embeddings", 0) if config.is_file() else 0
            engine.max_num_batched_tokens = max(engine.max_model_len or context, 4096)
    return engine


class VLLMEngine:
    """The engine of one model. To be made, and used, in a running event loop; its process is up then."""

    def __init__(self, arguments: AsyncEngineArgs, tokenizer: Any) -> None:
        self.tokenizer, self.numbers = tokenizer, itertools.count()
        others = children()
        self.llm = AsyncLLM.from_engine_args(arguments)
        self.guard = guard(children() - others)
        self.context = self.llm.model_config.max_model_len
        self.vocabulary = self.llm.model_config.get_vocab_size()

    def close(self) -> None:
        """End the engine's process."""
        self.llm.shutdown()
        assert self.guard.stdin is not None
        self.guard.stdin.close()  # it kills what the shutdown left

    def details(self) -> dict[str, Any]:
        """See `LMEngine`."""
        dtype = str(self.llm.model_config.dtype).removeprefix("torch.")
        return {"engine": "vllm", "context_length": self.context, "dtype": dtype, "version": vllm.__version__}

    async def generate(self, request: GenerateRequest) -> list[Generated]:
        """One sample for each seed, by one request each: the prefix cache computes their prompt once."""
        tasks = [asyncio.ensure_future(self._sample(request, seed)) for seed in request.seeds]
        try:
            return list(await asyncio.gather(*tasks))
        finally:  # when one failed, or the caller was cancelled, the others are not waited for
            for task in tasks:
                task.cancel()

    async def stream(self, request: GenerateRequest) -> AsyncIterator[Generated]:
        """The only sample of a request as it grows; the last one is whole, the others have no finish reason."""
        async for output in self._outputs(request, request.seeds[0], RequestOutputKind.CUMULATIVE):
            if output.finished:
                yield self._generated(request, output)
            else:
                ids = list(output.outputs[0].token_ids)
                yield Generated(decode_continuation(self.tokenizer, request.prompt_ids, ids), ids, 0.0, "")

    async def push_folder(self, folder: Path) -> None:
        """Load the safetensors files of a folder in place, once no sample is under way. Raises EngineError."""
        await self._change("take_from_folder", folder=str(folder))

    async def push(self, weights: Iterable[tuple[str, torch.Tensor]]) -> None:
        """See `LMEngine`. They go through memory that no file system holds, so it needs no space in /dev/shm either."""
        dtype = self.llm.model_config.dtype
        shapes: list[tuple[str, list[int]]] = []
        with os.fdopen(os.memfd_create("weights"), "wb") as memory:
            for name, weight in weights:
                shapes.append((name, list(weight.shape)))
                memory.write(weight.to(dtype).cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
            memory.flush()
            path = f"/proc/{os.getpid()}/fd/{memory.fileno()}"
            name = str(dtype).removeprefix("torch.")
            await self._change("take_from_memory", path=path, dtype=name, shapes=shapes)

    async def _change(self, method: str, **arguments: Any) -> None:
        await self.llm.pause_generation(mode="wait", clear_cache=True)
        try:
            await self.llm.collective_rpc(method, kwargs=arguments)
        except Exception as error:  # of any kind: vLLM loads each family of models by code of its own
            message = f"vLLM did not take the weights: {' '.join(str(error).split())[:300]}"
            raise EngineError("BadWeights", message) from error
        finally:
            await self.llm.resume_generation()

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
        prompt: TokensPrompt = {"prompt_token_ids": request.prompt_ids}  # type: ignore[typeddict-item]
        sampling = self._sampling(request, seed, kind)
        try:
            async for output in self.llm.generate(prompt, sampling, str(next(self.numbers))):
                yield output
        except VLLMServerError as error:
            raise EngineError("InternalError", f"vLLM failed: {error}", True) from error

    def _generated(self, request: GenerateRequest, output: RequestOutput) -> Generated:
        """The finished sample of vLLM's output. Raises EngineError."""
        sample = output.outputs[0]
        if sample.finish_reason not in ("stop", "length"):
            message = f"vLLM ended a sample with {sample.finish_reason!r}"
            raise EngineError("InternalError", message, True)
        by_token = sample.finish_reason == "stop" and not isinstance(sample.stop_reason, str)
        ids, logprob = list(sample.token_ids), float(sample.cumulative_logprob or 0.0)
        made = finished(self.tokenizer, request, ids, logprob, sample.finish_reason, by_token)
        made = dataclasses.replace(made, reused=output.num_cached_tokens or 0)
        if not request.logprobs_of:
            return made
        assert sample.logprobs is not None
        first = sample.logprobs[0]
        return dataclasses.replace(made, logprobs_of=tuple(first[i].logprob for i in request.logprobs_of))

    async def _sample(self, request: GenerateRequest, seed: int) -> Generated:
        async for output in self._outputs(request, seed, RequestOutputKind.FINAL_ONLY):
            last = output
        return self._generated(request, last)


def children() -> set[int]:
    """Process ids of all our child processes, and theirs."""
    import psutil

    return {child.pid for child in psutil.Process().children(recursive=True)}


def guard(processes: Iterable[int]) -> subprocess.Popen:
    """A process that kills these child processes once we are gone, however we ended.

    It waits for the end of a pipe that only we hold. A killed process would otherwise leave vLLM's engine behind.
    """
    script = "trap '' INT TERM HUP; read -r _; sleep 1; kill -9 \"$@\" 2>/dev/null"
    command = ["sh", "-c", script, "guard", *map(str, processes)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
