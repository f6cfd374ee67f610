"""Which tokens end a sample, and behind which a text is looked at."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from reason.engine.request import GenerateRequest
from reason.engine.stop_tables import END, MAX_TABLES, MAYBE, StopTables
from reason.llm_service.workers.wire import read_request
from tests.fakes import ROOT
from tests.reason.engine.tiny import bounds

VOCABULARY, CLOSING = 2048, 7  # more than the tokenizer has; its own end token


@pytest.fixture
def stops() -> StopTables:
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "reason/llm_service/models/openr-tiny-policy")
    return StopTables(tokenizer, VOCABULARY, {CLOSING})


def requested(stops: StopTables, **params: Any) -> GenerateRequest:
    return read_request({"prompt": "1 + 1\n", **params}, bounds(stops.tokenizer, 512, VOCABULARY))


def meanings(stops: StopTables, request: GenerateRequest) -> np.ndarray:
    """Of every token, [VOCABULARY]."""
    number = stops.number(request, idle=False)
    return stops.look_up(np.full(VOCABULARY, number), np.arange(VOCABULARY))


def test_tokens_that_end_a_sample(stops: StopTables) -> None:
    request = requested(stops, stop_token_ids=[3, VOCABULARY, -1])
    assert np.flatnonzero(meanings(stops, request)).tolist() == [3, CLOSING]
    assert np.flatnonzero(meanings(stops, dataclasses.replace(request, ignore_eos=True))).tolist() == [3]


def test_a_text_is_looked_at_behind_every_token_that_may_complete_it(stops: StopTables) -> None:
    found = meanings(stops, requested(stops, stop=["= 42", "\n\n"]))
    assert found[CLOSING] == END
    for token in np.flatnonzero(found != END):
        piece = stops.tokenizer.decode([token, token]) if token < len(stops.tokenizer) else ""
        assert (found[token] == MAYBE) == ("2" in piece or "\n" in piece)
    assert (found == MAYBE).any()


def test_requests_that_stop_alike_share_a_table(stops: StopTables) -> None:
    numbers = [stops.number(requested(stops, stop=[text], seed=i), False) for i, text in enumerate("ab" * 3)]
    assert numbers == [0, 1] * 3


def test_a_full_store_is_emptied_only_when_nothing_uses_it(stops: StopTables) -> None:
    requests = [requested(stops, stop_token_ids=[i]) for i in range(MAX_TABLES + 2)]
    assert [stops.number(request, idle=False) for request in requests] == list(range(MAX_TABLES + 2))
    new = requested(stops, stop_token_ids=[1000])
    assert stops.number(new, idle=True) == 0
    assert meanings(stops, new)[1000] == END
    assert stops.number(requests[5], idle=True) == 1
