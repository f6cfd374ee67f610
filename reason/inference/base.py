"""The vocabulary of talking to models: requests, replies, and the two interfaces that search is written against.

Imports neither torch nor an engine. FastChat, OpenAI-compatible, oracle and in-process kinds all look like this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from envs.base_env import Problem
from reason.common.errors import UserError
from reason.inference.ledger import Ledger
from reason.model_cards.card import LMCard, PRMCard


class ModelError(RuntimeError):
    """A model could not answer; the question that asked becomes a record with this error."""


class Unavailable(ModelError):
    """No worker answered, though asked several times; another time the same request may succeed."""


class ServiceError(UserError):
    """The services are not as the run needs them (controller away, model unknown, other card): the run cannot start."""


@dataclass(frozen=True)
class Sampling:
    """How to sample. temperature 0 is greedy; top_k -1 is off."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    max_tokens: int = 2048
    stop: tuple[str, ...] = ()  # texts that end a sample and stay in it
    continued: bool = True  # whether a later prompt may begin with prompt and sample: an engine then keeps their keys


@dataclass(frozen=True)
class Sample:
    """One generated continuation. `finish_reason` is "stop" (stop text or end of text) or "length"."""

    text: str
    num_tokens: int
    finish_reason: str
    logprob: float = 0.0  # sum over the generated tokens, of the distribution sampled from


class LanguageModel(Protocol):
    """A policy LM."""

    card: LMCard

    async def generate(self, prompt: str, sampling: Sampling, seeds: Sequence[int], ledger: Ledger) -> list[Sample]:
        """One sample for each seed, in order; what it cost is added to `ledger`. Raises ModelError."""
        ...


class RewardModel(Protocol):
    """A PRM."""

    card: PRMCard

    async def score(self, problem: Problem, solutions: Sequence[Sequence[str]], ledger: Ledger) -> list[list[float]]:
        """Step scores, exactly one a step, for each (partial) solution given as its steps. Raises ModelError."""
        ...
