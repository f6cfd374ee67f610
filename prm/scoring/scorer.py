"""A PRM ready to score: a model, its tokenizer and its card. Used by the reward worker, by trainers and benchmarks.

The model must be causal: batches are padded on the right, where no real token can see the padding, so no attention
mask is needed, and the scores of an input's prefix are the first of its scores. An outcome model's input goes through
as its parts, one for each step. Where the weights stay as they are,
`keep_prefixes` makes tokens that were read once stay read.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from prm.scoring import heads, implicit
from prm.scoring.layout import Layout, Layouter
from prm.scoring.prefix_cache import PrefixCache, unfit
from reason.common.errors import UserError
from reason.engine.plan import batches, nearest, owners
from reason.model_cards.card import PRMCard

TOKEN_BUDGET = {"cpu": 1024, "cuda": 32768}  # padded tokens of a forward pass; see Scorer.load
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 0.05, torch.float16: 0.05}  # of scores by way of the cache
# Forward passes' worth of tokens that are entered into the cache together: their rows are sorted into passes by size.
# Of beam search, what attention computes is padding for 32 % with 1, 6 % with 2, 2 % with 4.
PICKED = 2

logger = logging.getLogger(__name__)


class ScoreError(RuntimeError):
    """The model has no score for an input: not a number, or too big for the memory."""


class Scored(NamedTuple):
    """Scores of one input, unchecked, or its error; and the tokens that went through the model for it."""

    scores: list[float] | ScoreError
    computed: int

    def after(self, wasted: int) -> Scored:
        """The same, when `wasted` tokens were computed in vain before."""
        return self._replace(computed=self.computed + wasted)


@dataclass
class Result:
    """Scores of several inputs, or the error of each that has none, and the tokens that they took."""

    scores: list[list[float] | ScoreError]
    tokens: list[int]  # of each input
    computed: int  # tokens that went through the model, without padding; the rest of `tokens` was known or shared

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
    reference: Any = None  # of an implicit PRM: the second model
    layouter: Layouter = field(init=False)
    cache: PrefixCache | None = field(init=False, default=None)  # see `keep_prefixes`

    def __post_init__(self) -> None:
        self.layouter = Layouter(self.card, self.tokenizer, self.model.config.max_position_embeddings)
        self.head = heads.kind(self.card)[1](self.model, self.card, self.layouter)
        if self.head is None:
            if self.reference is None:
                raise UserError(f"card {self.card.name!r}: head {self.card.head} needs a reference_model")
            implicit.check(self.model, self.reference, self.card)

    @classmethod
    def load(
        cls,
        folder: str,
        card: PRMCard,
        device: str | None = None,
        token_budget: int | None = None,
        base_model: str | None = None,
        trust_remote_code: bool = False,
        reference_model: str | None = None,
    ) -> Scorer:
        """Load a model folder (or hub id) by its card: fp32 on a CPU, bf16 on a GPU. Raises UserError, OSError.

        A folder with an adapter_config.json is merged into `base_model`, or the card's; `reference_model` likewise
        goes before the card's. Forward passes hold at most
        `token_budget` padded tokens. The default for a CPU is small: on one core a model of 2.5 million parameters
        reads 9,400 tokens/s one solution at a time, 12,700 in passes of 1,024 tokens, and 8,800 in passes of 4,096,
        which fall out of the caches and pad more.
        """
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.float32 if device == "cpu" else torch.bfloat16
        options = {"dtype": dtype, "trust_remote_code": trust_remote_code}
        heads.kind(card)
        transformers.utils.logging.disable_progress_bar()
        adapter = (Path(folder) / "adapter_config.json").is_file()
        base = (base_model or card.base_model) if adapter else folder
        if not base:
            raise UserError(f"card {card.name!r}: {folder} is an adapter, so base_model must name its model")
        model = heads.load(base, card, **options)
        if adapter:
            from peft import PeftModel

            model = PeftModel.from_pretrained(model, folder).merge_and_unload()
        own_tokenizer = (Path(folder) / "tokenizer_config.json").is_file() or not adapter
        tokenizer = AutoTokenizer.from_pretrained(
            folder if own_tokenizer else base, trust_remote_code=trust_remote_code
        )
        second: Any = None
        if card.head == "implicit":
            if not (reference_model or card.reference_model):
                raise UserError(f"card {card.name!r}: head implicit needs a reference_model")
            second = AutoModelForCausalLM.from_pretrained(reference_model or card.reference_model, **options)
            second.to(device).eval()
        budget = token_budget or TOKEN_BUDGET[torch.device(device).type]
        scorer = cls(model.to(device).eval(), tokenizer, card, budget, second)
        scorer.self_test()
        return scorer

    def details(self) -> dict[str, Any]:
        """engine, context_length, dtype and version."""
        dtype = str(self.model.dtype).removeprefix("torch.")
        own = {"engine": "prm", "context_length": self.layouter.max_length, "dtype": dtype}
        return own | {"version": transformers.__version__}

    def score(self, inputs: Sequence[tuple[str, Sequence[str]]]) -> list[list[float]]:
        """Step scores, exactly one a step, of (question, steps) pairs. Raises LayoutError, ScoreError."""
        return self.run([self.layouter.lay_out(question, steps) for question, steps in inputs]).all_scores()

    def run(self, layouts: Sequence[Layout]) -> Result:
        """Score inputs that are laid out; identical ones and prefixes of others are computed once."""
        owner = owners([layout.key for layout in layouts])
        todo = sorted({i for i in owner if layouts[i].scores}, key=lambda i: -len(layouts[i].tokens))
        found: dict[int, Scored] = {}
        while todo:
            batch = [todo[j] for j in self.pick([layouts[i] for i in todo])] if self.cache else todo
            found.update(zip(batch, self.compute([layouts[i] for i in batch]), strict=True))
            todo = [i for i in todo if i not in found]
        return gather(found, owner, layouts)

    def pick(self, layouts: Sequence[Layout]) -> list[int]:
        """Which inputs to compute next, together: the first, and those most like it in what there is to compute."""
        if self.cache is None:
            return nearest([len(layout.tokens) for layout in layouts], self.token_budget)
        return nearest([self.cache.missing(layout) for layout in layouts], PICKED * self.token_budget)

    @torch.inference_mode()
    def compute(self, layouts: Sequence[Layout]) -> list[Scored]:
        """Scores of inputs that go into a pass together: from the cache and into it, where there is one."""
        inputs = [one for layout in layouts for one in layout.inputs]
        found = iter(self._compute(inputs))
        return [_joined([next(found) for _ in layout.inputs]) for layout in layouts]

    def _compute(self, layouts: Sequence[Layout]) -> list[Scored]:
        """The same for inputs without parts."""
        if self.cache is None:
            return self._in_full(layouts)
        try:
            cached = self.cache.compute(layouts)
        except torch.cuda.OutOfMemoryError:
            torch.cuda.empty_cache()
            if len(layouts) == 1:
                return self._in_full(layouts)
            half = len(layouts) // 2
            logger.warning("a pass of %d inputs does not fit the GPU's memory; it is halved", len(layouts))
            return self._compute(layouts[:half]) + self._compute(layouts[half:])
        left_out = [layout for layout, one in zip(layouts, cached, strict=True) if one.scores is None]
        in_full = iter(self._in_full(left_out))
        return [
            Scored(one.scores, one.computed) if one.scores is not None else next(in_full).after(one.computed)
            for one in cached
        ]

    def _in_full(self, layouts: Sequence[Layout]) -> list[Scored]:
        """Scores of inputs without the cache."""
        found: dict[int, Scored] = {}
        for batch in batches([len(layout.tokens) for layout in layouts], self.token_budget):
            for i, scores in zip(batch, self.forward([layouts[i] for i in batch]), strict=True):
                found[i] = Scored(scores, len(layouts[i].tokens))
        return [found[i] for i in range(len(layouts))]

    @torch.inference_mode()
    def forward(self, layouts: Sequence[Layout]) -> list[list[float] | ScoreError]:
        """One padded forward pass of inputs without parts, unchecked; halved where it does not fit the memory."""
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
        if self.head is None:
            return implicit.log_ratios(self.model, self.reference, self.card, ids.to(device), layouts)
        counts = [len(layout.positions) for layout in layouts]
        rows = torch.arange(len(layouts)).repeat_interleave(torch.tensor(counts)).to(device)
        positions = torch.tensor([p for layout in layouts for p in layout.positions], device=device)
        scores = self._read(ids.to(device), rows, positions).cpu()
        return [chunk.tolist() for chunk in scores.split(counts)]

    def _read(self, ids: torch.Tensor, rows: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Scores [n] where they stand in ids [rows, length]."""
        assert self.head is not None
        hidden = self.model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        return self.head(hidden[rows, positions])

    def keep_prefixes(self, memory: int) -> None:
        """Keep keys and values of what was scored, in at most `memory` bytes; for a model whose weights stay.

        Logs a warning and keeps nothing where the model's attention is not of that kind (windows, recurrent states),
        or scores need more than hidden states where they stand (implicit PRMs: two models' logits of every token).
        """
        reason = unfit(self.model, self.layouter.max_length)
        if self.head is None:
            reason = f"scores of head {self.card.head} need the logits of every token"
        elif reason is None:
            layouts = self._small_tree()
            in_full = self.forward(layouts)  # with the model's own attention, which the cache replaces
            own = self.model.config._attn_implementation
            self.cache = PrefixCache(self.model, self.head, self.layouter.tag, self.token_budget, memory)
            reason = self._disagreement(layouts, in_full)
            if reason is not None:
                self.model.set_attn_implementation(own)
        if reason is not None:
            self.cache = None
            logger.warning("no prefix cache: %s; every input is computed in full", reason)

    def _small_tree(self) -> list[Layout]:
        paths = [["1 + 1 = 2; 2 + 3"], ["1 + 1 = 2; 2 + 3", "5"], ["1 + 1 = 2; 2 + 3", "6", "7"], ["8"]]
        return [one for path in paths for one in self.layouter.lay_out("1 + 1 + 3", path).inputs]

    def _disagreement(self, layouts: Sequence[Layout], in_full: Sequence[list[float] | ScoreError]) -> str | None:
        """How scores by way of the cache differ from those in full; None where they do not."""
        full = [score for scores in in_full if not isinstance(scores, ScoreError) for score in scores]
        try:
            through_cache = [self.compute([layout])[0].scores for layout in layouts]
        except Exception as error:  # whatever a model makes of keys and values that it did not lay out itself
            return f"{type(error).__name__}: {error}"
        cached = [score for scores in through_cache if not isinstance(scores, ScoreError) for score in scores]
        worst = max(abs(a - b) for a, b in zip(cached, full, strict=True))
        return None if worst < TOLERANCE[self.model.dtype] else f"its scores would differ by {worst:.2g}"

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


def gather(found: dict[int, Scored], owner: Sequence[int], layouts: Sequence[Layout]) -> Result:
    """The result of all inputs from the scores of the owners that have any."""
    return Result(
        [
            first_scores(found[own].scores if own in found else [], layout)
            for own, layout in zip(owner, layouts, strict=True)
        ],
        [layout.size for layout in layouts],
        sum(scored.computed for scored in found.values()),
    )


def first_scores(scores: list[float] | ScoreError, layout: Layout) -> list[float] | ScoreError:
    """The scores of `layout` from those of an input that starts with it; an error where one is not finite."""
    if isinstance(scores, ScoreError):
        return scores
    scores = scores[: layout.scores]
    if not all(map(math.isfinite, scores)):
        return ScoreError("the model's score of a step is not a finite number")
    return scores


def _joined(parts: Sequence[Scored]) -> Scored:
    """The scores of an input from those of its parts, or the first error of theirs."""
    computed = sum(part.computed for part in parts)
    scores: list[float] = []
    for part in parts:
        if isinstance(part.scores, ScoreError):
            return Scored(part.scores, computed)
        scores += part.scores
    return Scored(scores, computed)
