"""A PRM ready to score: a model, its tokenizer and its card. Used by the reward worker, by trainers and benchmarks.

The model must be causal: batches are padded on the right, where no real token can see the padding, so no attention
mask is needed, and the scores of an input's prefix are the first of its scores.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer

from prm.scoring.heads import HEADS
from prm.scoring.layout import Layout, Layouter
from prm.scoring.plan import batches, owners
from reason.model_cards.card import CardError, PRMCard

TOKEN_BUDGET = {"cpu": 1024, "cuda": 32768}  # padded tokens of a forward pass; see Scorer.load

logger = logging.getLogger(__name__)


class ScoreError(RuntimeError):
    """The model has no score for an input: not a number, or too big for the memory."""


@dataclass
class Result:
    """Scores of several inputs, or the error of each that has none, and the tokens that they took."""

    scores: list[list[float] | ScoreError]
    tokens: list[int]  # of each input
    computed: int  # tokens computed, without padding; the rest of `tokens` was shared

    def all_scores(self) -> list[list[float]]:
        """The scores; raises the first error there is, with the input's index."""
        for index, scores in enumerate(self.scores):
            if isinstance(scores, ScoreError):
                raise ScoreError(f"input {index}: {scores}")
        return self.scores  # type: ignore[return-value]


@dataclass
class Scorer:
    """Build with `load`, or from a model in training with its card and tokenizer."""

    model: Any
    tokenizer: Any
    card: PRMCard
    token_budget: int = TOKEN_BUDGET["cpu"]
    layouter: Layouter = field(init=False)

    def __post_init__(self) -> None:
        self.layouter = Layouter(self.card, self.tokenizer, self.model.config.max_position_embeddings)
        self.head = _head_kind(self.card)[1](self.model, self.card, self.layouter)

    @classmethod
    def load(
        cls,
        folder: str,
        card: PRMCard,
        device: str | None = None,
        token_budget: int | None = None,
        base_model: str | None = None,
        trust_remote_code: bool = False,
    ) -> Scorer:
        """Load a model folder (or hub id) by its card: fp32 on a CPU, bf16 on a GPU. Raises CardError, OSError.

        A folder with an adapter_config.json is merged into `base_model`, or the card's. Forward passes hold at most
        `token_budget` padded tokens. The default for a CPU is small: on one core a model of 2.5 million parameters
        reads 9,400 tokens/s one solution at a time, 12,700 in passes of 1,024 tokens, and 8,800 in passes of 4,096,
        which fall out of the caches and pad more.
        """
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        options = {"dtype": dtype, "trust_remote_code": trust_remote_code}
        loader, _ = _head_kind(card)
        adapter = (Path(folder) / "adapter_config.json").is_file()
        base = (base_model or card.base_model) if adapter else folder
        if not base:
            raise CardError(f"card {card.name!r}: {folder} is an adapter, so base_model must name its model")
        model = loader.from_pretrained(base, **options)
        if adapter:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, folder).merge_and_unload()
        own_tokenizer = (Path(folder) / "tokenizer_config.json").is_file() or not adapter
        tokenizer = AutoTokenizer.from_pretrained(
            folder if own_tokenizer else base, trust_remote_code=trust_remote_code
        )
        budget = token_budget or TOKEN_BUDGET[torch.device(device).type]
        scorer = cls(model.to(device).eval(), tokenizer, card, budget)
        scorer.self_test()
        return scorer

    def score(self, inputs: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """Step scores, exactly one a step, of (question, steps) pairs. Raises LayoutError, ScoreError."""
        return self.run([self.layouter.lay_out(question, steps) for question, steps in inputs]).all_scores()

    def run(self, layouts: Sequence[Layout]) -> Result:
        """Score inputs that are laid out; identical ones and prefixes of others are computed once."""
        owner = owners([layout.tokens for layout in layouts])
        todo = [i for i in sorted(set(owner)) if layouts[i].positions]
        found: dict[int, list[float] | ScoreError] = {i: [] for i in set(owner)}
        for batch in batches([len(layouts[i].tokens) for i in todo], self.token_budget):
            indices = [todo[j] for j in batch]
            found.update(zip(indices, self.forward([layouts[i] for i in indices]), strict=True))
        return Result(
            [first_scores(found[own], layout) for own, layout in zip(owner, layouts, strict=True)],
            [len(layout.tokens) for layout in layouts],
            sum(len(layouts[i].tokens) for i in todo),
        )

    @torch.inference_mode()
    def forward(self, layouts: Sequence[Layout]) -> list[list[float] | ScoreError]:
        """One padded forward pass, scores unchecked; halved, and again, where it does not fit the GPU's memory."""
        try:
            scores = self._forward(layouts)
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            if len(layouts) == 1:
                return [ScoreError(f"{len(layouts[0].tokens)} tokens do not fit the GPU's memory: {error}")]
            half = len(layouts) // 2
            logger.warning("a batch of %d inputs does not fit the GPU's memory; it is halved", len(layouts))
            return self.forward(layouts[:half]) + self.forward(layouts[half:])
        return list(scores)

    def _forward(self, layouts: Sequence[Layout]) -> list[list[float]]:
        device = self.model.device
        ids = torch.zeros(len(layouts), max(len(layout.tokens) for layout in layouts), dtype=torch.long)
        for row, layout in enumerate(layouts):
            ids[row, : len(layout.tokens)] = torch.tensor(layout.tokens)
        counts = [len(layout.positions) for layout in layouts]
        rows = torch.arange(len(layouts)).repeat_interleave(torch.tensor(counts)).to(device)
        positions = torch.tensor([p for layout in layouts for p in layout.positions], device=device)
        hidden = self.model.base_model(input_ids=ids.to(device), use_cache=False).last_hidden_state
        scores = self.head(hidden[rows, positions]).cpu()
        return [chunk.tolist() for chunk in scores.split(counts)]

    def self_test(self) -> bool | None:
        """Whether the card's good solution scores above its bad one, by their lowest step; None without a test.

        Logs one warning where it does not: the card does not fit the model, or the model is no good.
        """
        test = self.card.self_test
        if test is None:
            return None
        good, bad = (min(scores) for scores in self.score([(test.question, test.good), (test.question, test.bad)]))
        if good <= bad:
            logger.warning(
                "card %r: the self-test's bad solution scores %.3f, the good one only %.3f: check that the card is "
                "this model's", self.card.name, bad, good,
            )  # fmt: skip
        return good > bad


def first_scores(scores: list[float] | ScoreError, layout: Layout) -> list[float] | ScoreError:
    """The scores of `layout` from those of an input that starts with it; an error where one is not finite."""
    if isinstance(scores, ScoreError):
        return scores
    scores = scores[: len(layout.positions)]
    if not all(map(math.isfinite, scores)):
        return ScoreError("the model's score of a step is not a finite number")
    return scores


def _head_kind(card: PRMCard) -> tuple[Any, Any]:
    if card.chat:
        raise CardError(f"card {card.name!r}: layouts with chat turns (chat: true) are not served yet")
    if card.head not in HEADS:
        raise CardError(f"card {card.name!r}: head must be one of {', '.join(HEADS)}, not {card.head!r}")
    return HEADS[card.head]
