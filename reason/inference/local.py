"""Models that compute in this process: `local:FOLDER`. Their work is done in threads, never in the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.base_env import Problem
from prm.scoring.batcher import Batcher
from prm.scoring.layout import LayoutError
from prm.scoring.scorer import ScoreError, Scorer
from reason.common.errors import UserError, unknown
from reason.engine.loading import engine_over, load_transformers, load_vllm, tokenizer_of
from reason.engine.memory import cache_bytes, keep_freed_memory
from reason.engine.packed_linear import pack_linears
from reason.engine.request import EngineError, Generated, GenerateRequest, LMEngine, new_request, token_ids_of
from reason.inference import LocalOptions
from reason.inference.base import ModelError, RewardModel, Sample, Sampling, Stats
from reason.inference.judge import JudgeRM, lm_card
from reason.inference.ledger import Ledger
from reason.model_cards import card as cards
from reason.model_cards.card import Card, LMCard, PRMCard, with_template

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class LocalLM:
    """A `LanguageModel` over an engine of this process; what is asked at the same time is computed together."""

    card: LMCard
    engine: LMEngine
    stats: Stats = field(default_factory=Stats)
    replicas: int = 1

    @classmethod
    async def load(
        cls, folder: str, card: str | None = None, options: LocalOptions | None = None, stats: Stats | None = None
    ) -> LocalLM:
        """Load a model folder, or hub id, by its card, or by a default one. Raises UserError."""
        options = options or LocalOptions()
        engine, own = await load_engine(folder, card, options)
        if not isinstance(own, LMCard):
            await asyncio.to_thread(engine.close)
            raise UserError(f"{folder}: card {own.name!r} is of a reward model: name it where one is asked for")
        return cls(own, engine, stats or Stats())

    @classmethod
    def over(cls, model: Any, tokenizer: Any, card: LMCard, max_samples: int) -> LocalLM:
        """An LM that samples from a transformers model that others hold, of attention `slots.ATTENTION`.

        On a CPU its float32 linear layers are packed, so it does not see that they change.
        """
        return cls(card, engine_over(model, tokenizer, max_samples))

    @property
    def details(self) -> dict[str, Any]:
        """See `LanguageModel`."""
        return self.engine.details()

    async def generate(
        self, prompt: str | Sequence[int], sampling: Sampling, seeds: Sequence[int], ledger: Ledger
    ) -> list[Sample]:
        """See `LanguageModel`."""
        with as_model_error():
            request = new_request(
                self.engine, prompt, seeds, sampling.temperature, sampling.top_p, sampling.top_k, sampling.max_tokens,
                sampling.stop, continued=sampling.continued,
            )  # fmt: skip
            samples = await self._answer(request, ledger)
        return [
            Sample(one.text, len(one.token_ids), one.finish_reason, one.logprob, tuple(one.token_ids))
            for one in samples
        ]

    async def logprobs_of(self, prompt: str, tokens: Sequence[str], ledger: Ledger) -> list[float]:
        """See `LanguageModel`."""
        with as_model_error():
            ids = token_ids_of(self.engine, tokens)
            request = new_request(self.engine, prompt, [0], max_tokens=1, logprobs_of=ids)
            (sample,) = await self._answer(request, ledger)
        return list(sample.logprobs_of)

    async def push(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """See `RolloutLM`. Samples that are under way end before."""
        with as_model_error():
            await self.engine.push(weights)

    async def close(self) -> None:
        """See `LanguageModel`."""
        self.engine.close()

    async def _answer(self, request: GenerateRequest, ledger: Ledger) -> list[Generated]:
        started = time.monotonic()
        self.stats.requests_in_flight += 1
        try:
            samples = await self.engine.generate(request)
        finally:
            self.stats.requests_in_flight -= 1
        cost = Ledger(
            lm_calls=1,
            prompt_tokens=len(request.prompt_ids),
            prompt_tokens_reused=min(sample.reused for sample in samples),
            generated_tokens=sum(len(sample.token_ids) for sample in samples),
            seconds_generating=time.monotonic() - started,
        )
        ledger.add(cost)
        self.stats.generated_tokens += cost.generated_tokens
        return samples


def lm_card_of(folder: str, card: str | None, tokenizer: Any, flag: str = "--card") -> Card:
    """The card of an LM, or of a generative judge. Raises UserError.

    A language model without a card gets one from its tokenizer, which is said in one line on stderr.
    """
    if cards.is_known(folder, card):
        return with_template(cards.find(folder, "lm", card, flag), tokenizer)
    default = cards.default_lm_card(Path(folder).name, tokenizer)
    layout = "the tokenizer's chat template" if default.chat_template else "the question as it is"
    print(f"{folder} has no model card: its prompt is {layout}, its steps end at a blank line; {flag} names another",
          file=sys.stderr)  # fmt: skip
    return default


async def load_engine(folder: str, card: str | None, options: LocalOptions) -> tuple[LMEngine, Card]:
    """The engine of an LM's, or generative judge's, folder, and its card. Raises UserError."""
    keep_freed_memory()
    tokenizer = await asyncio.to_thread(tokenizer_of, folder, options.trust_remote_code)
    own = lm_card_of(folder, card, tokenizer, options.card_flag)
    if options.engine == "vllm":
        engine: LMEngine = load_vllm(
            folder, tokenizer, options.dtype, options.context, options.max_samples, options.gpu_memory,
            options.random_weights, options.takes_weights, options.trust_remote_code,
        )  # fmt: skip
    elif options.engine == "transformers":
        engine = await asyncio.to_thread(
            load_transformers, folder, tokenizer, options.device, options.dtype, options.context, options.max_samples,
            options.kv_cache_gib, options.cache_mb, options.trust_remote_code,
        )  # fmt: skip
    else:
        raise UserError(unknown("engine", options.engine, ("transformers", "vllm")))
    return engine, own


@dataclass
class LocalRM:
    """A `RewardModel` over a scorer of this process; what is asked at the same time is scored together."""

    scorer: Scorer
    batcher: Batcher

    @classmethod
    def open(cls, folder: str, card: PRMCard, options: LocalOptions) -> LocalRM:
        """Load a model folder, or hub id, by its card. Raises UserError."""
        scorer = load_scorer(folder, card, options)
        return cls(scorer, Batcher(scorer, options.batch_wait or 0.0))

    @property
    def card(self) -> PRMCard:
        """See `RewardModel`."""
        return self.scorer.card

    @property
    def details(self) -> dict[str, Any]:
        """See `RewardModel`."""
        return self.scorer.details()

    async def score(self, problem: Problem, solutions: Sequence[Sequence[str]], ledger: Ledger) -> list[list[float]]:
        """See `RewardModel`."""
        started = time.monotonic()
        try:
            layouts = [self.scorer.layouter.lay_out(problem.question, steps) for steps in solutions]
            result = await self.batcher.run(layouts)
            scores = result.all_scores()
        except (LayoutError, ScoreError) as error:
            raise ModelError(str(error)) from None
        ledger.prm_calls += 1
        ledger.prm_tokens_computed += result.computed
        ledger.prm_tokens_reused += sum(result.tokens) - result.computed
        ledger.seconds_scoring += time.monotonic() - started
        return scores

    async def close(self) -> None:
        """See `RewardModel`."""
        self.batcher.close()


def load_scorer(folder: str, card: PRMCard, options: LocalOptions) -> Scorer:
    """A PRM that keeps the prefixes of what it scored. Raises UserError."""
    keep_freed_memory()
    try:
        scorer = Scorer.load(
            folder, card, options.device, options.batch_tokens, options.base_model, options.trust_remote_code,
            options.reference_model,
        )  # fmt: skip
        for model in (scorer.model, scorer.reference):
            if model is not None:
                pack_linears(model.base_model)  # heads read the weights of their own layers
        if memory := cache_bytes(str(scorer.model.device), options.cache_mb):
            scorer.keep_prefixes(memory)
    except UserError:
        raise
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{folder} cannot be loaded: {' '.join(str(error).split())}") from error
    return scorer


async def load_rm(
    folder: str, card: str | None, options: LocalOptions, seed: int, stats: Stats | None = None
) -> RewardModel:
    """The PRM, or generative judge, in a folder. Raises UserError, for a folder without a card too."""
    own = cards.find(folder, "prm", card, options.card_flag)
    assert isinstance(own, PRMCard)
    if own.head != "generative":
        return await asyncio.to_thread(LocalRM.open, folder, own, options)
    engine, filled = await load_engine(folder, card, options)
    assert isinstance(filled, PRMCard)
    lm = LocalLM(lm_card(filled), engine, stats or Stats())
    judge = JudgeRM(filled, lm, lm.details, seed)
    try:
        await judge.self_test()
    except ModelError as error:
        await judge.close()
        raise UserError(f"{folder}: {error}") from None
    return judge


@contextlib.contextmanager
def as_model_error() -> Iterator[None]:
    """What an engine cannot answer, or fails at, is the question's error."""
    try:
        yield
    except EngineError as error:
        raise ModelError(str(error)) from error
