"""The vocabulary of talking to models: requests, replies, and the two interfaces that search is written against.

Imports neither torch nor an engine. FastChat, OpenAI-compatible, oracle and in-process kinds all look like this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from envs.base_env import Problem
from reason.common.errors import RunError, UserError
from reason.inference.ledger import Ledger
from reason.model_cards.card import LMCard, PRMCard


class ModelError(RunError):
    """A model could not answer; the question that asked becomes a record with this error."""


class Unavailable(ModelError):
    """No worker answered, though asked several times; another time the same request may succeed."""


class ServiceError(UserError):
    """The services are not as the run needs them (controller away, model unknown, other card): the run cannot start."""


MOST_TOKENS = 2**31 - 1  # what `max_tokens` and `top_k` can say
MOST_SAMPLES = 2**16  # of one request
HOTTEST = 100.0  # temperature


@dataclass(frozen=True)
class Sampling:
    """How to sample. temperature 0 is greedy; top_k -1 is off. Raises UserError for a number out of its bounds."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    max_tokens: int = 2048
    stop: tuple[str, ...] = ()  # texts that end a sample and stay in it
    continued: bool = True  # whether a later prompt may begin with prompt and sample: an engine then keeps their keys

    def __post_init__(self) -> None:
        if not 0 <= self.temperature <= HOTTEST:
            raise UserError(f"temperature must be from 0 to {HOTTEST:g}, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p must be above 0 and at most 1, not {self.top_p}")
        if self.top_k != -1 and not 1 <= self.top_k <= MOST_TOKENS:
            raise UserError(f"top_k must be -1 (off) or from 1 to {MOST_TOKENS}, not {self.top_k}")
        if not 1 <= self.max_tokens <= MOST_TOKENS:
            raise UserError(f"max_tokens must be from 1 to {MOST_TOKENS}, not {self.max_tokens}")


@dataclass(frozen=True)
class Sample:
    """One generated continuation. `finish_reason` is "stop" (stop text or end of text) or "length"."""

    text: str
    num_tokens: int
    finish_reason: str
    logprob: float = 0.0  # sum over the generated tokens, of the distribution sampled from
    token_ids: tuple[int, ...] = ()  # with the end token; empty where the model's worker does not tell


@dataclass
class Stats:
    """Live figures of the models of a run, for its progress bar."""

    requests_in_flight: int = 0
    generated_tokens: int = 0


class LanguageModel(Protocol):
    """A policy LM."""

    @property
    def card(self) -> LMCard:
        """How its prompts are laid out and how it likes to be sampled."""
        ...

    @property
    def details(self) -> Mapping[str, Any]:
        """What computes: engine, context_length, dtype, version, as far as they are known."""
        ...

    async def generate(
        self, prompt: str | Sequence[int], sampling: Sampling, seeds: Sequence[int], ledger: Ledger
    ) -> list[Sample]:
        """One sample for each seed, in order, after a text or its token ids; what it cost is added to `ledger`.

        Raises ModelError.
        """
        ...

    async def logprobs_of(self, prompt: str, tokens: Sequence[str], ledger: Ledger) -> list[float]:
        """The log-probability of each of `tokens` (single tokens) as the next after `prompt`. Raises ModelError."""
        ...

    async def close(self) -> None:
        """Give back what it holds; a call that is under way fails."""
        ...


class RolloutLM(LanguageModel, Protocol):
    """An LM that takes a policy's weights while it is trained."""

    @property
    def replicas(self) -> int:
        """Engines behind it: as many requests at once reach each of them."""
        ...

    async def push(self, weights: Iterable[tuple[str, Any]]) -> None:
        """Sample with these weights, by their names in the checkpoint, from now on; nothing computed by others is left.

        None at all means that their owner has changed them in place. Raises ModelError.
        """
        ...


class RewardModel(Protocol):
    """A PRM."""

    @property
    def card(self) -> PRMCard:
        """How it reads solutions and what its scores mean."""
        ...

    @property
    def details(self) -> Mapping[str, Any]:
        """What computes: engine, context_length, dtype, version, as far as they are known."""
        ...

    async def score(self, problem: Problem, solutions: Sequence[Sequence[str]], ledger: Ledger) -> list[list[float]]:
        """Step scores, exactly one a step, for each (partial) solution given as its steps. Raises ModelError."""
        ...

    async def close(self) -> None:
        """Give back what it holds; a call that is under way fails."""
        ...
