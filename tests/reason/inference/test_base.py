"""The vocabulary of talking to models."""

from __future__ import annotations

import math

import pytest

from reason.common.errors import UserError
from reason.inference.base import Sampling


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": -0.1}, {"temperature": math.nan}, {"temperature": math.inf}, {"top_p": 0}, {"top_p": 1.1},
        {"top_p": math.nan}, {"top_k": 0}, {"top_k": -2}, {"top_k": 2**63}, {"max_tokens": 0}, {"max_tokens": 2**63},
    ],
)  # fmt: skip
def test_a_client_refuses_what_a_worker_would(wrong: dict) -> None:
    (name,) = wrong
    with pytest.raises(UserError, match=f"^{name} must be "):
        Sampling(**wrong)
