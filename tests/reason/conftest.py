"""A random policy and the transformers engine that serves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from reason.engine.slots import ATTENTION
from reason.engine.transformers_engine import Engine
from tests.reason.engine.tiny import save_policy


@pytest.fixture(scope="session")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the model."""
    return save_policy(tmp_path_factory.mktemp("models") / "tiny-policy")


@pytest.fixture(scope="session")
def tokenizer(policy: Path) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(policy)


@pytest.fixture(scope="session")
def engine(policy: Path, tokenizer: PreTrainedTokenizerBase) -> Iterator[Engine]:
    """The engine with 128 rows, in float32, on one thread: the model is too small for more."""
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(policy, dtype=torch.float32, attn_implementation=ATTENTION).eval()
    engine = Engine(model, tokenizer, {tokenizer.eos_token_id}, max_samples=128, kv_bytes=2**30)
    yield engine
    engine.close()
