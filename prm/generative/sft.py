"""Fine-tuning a causal LM on the completions of rows, prompts masked: what a judge learns, and how it is tested."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from data.preprocess.common import encoded
from prm.benchmarks.cases import Case, ScoredCases, Skips
from prm.generative.verdicts import VerdictRow
from prm.scoring.layout import Layout
from prm.scoring.scorer import Scorer
from prm.training import model as models
from prm.training.evaluation import figures
from prm.training.model import Trainee
from prm.training.student import DTYPES, arithmetic
from reason.common.errors import UserError
from reason.common.rows import BadRow, field, place, rows
from reason.engine.request import encode_prompt
from reason.inference.base import ModelError
from reason.inference.judge import judge_prompt, lm_card
from reason.inference.prompting import render
from reason.model_cards import card as cards
from reason.model_cards.card import PRMCard
from train.core.next_tokens import NextTokens
from train.core.plan import Example, LabelledPass
from train.core.processes import Processes
from train.core.sharding import Shards


def stand_in(card: PRMCard) -> PRMCard:
    """The judge as prm.scoring reads it: P(good) at the last token of a text that is already laid out."""
    return PRMCard(
        card.name, "token_logits", question="{question}", step="{step}{tag}", strip=False, good=card.good, bad=card.bad,
        meaning=card.meaning, aggregation=card.aggregation, max_length=card.max_length, base_model=card.base_model,
    )  # fmt: skip


def load(model_path: str, card: PRMCard, **options: Any) -> Trainee:
    """The LM that becomes a judge; `options` are those of prm.training.model.load.

    Raises UserError, also where the verdicts are not single tokens.
    """
    return models.load(model_path, stand_in(card), **options)


def with_template(card: PRMCard, tokenizer: Any) -> PRMCard:
    """The card with the tokenizer's chat template, where it needs one and has none. Raises UserError."""
    if not card.chat or card.chat_template:
        return card
    if not isinstance(tokenizer.chat_template, str):
        raise UserError(f"card {card.name!r} leaves the chat template to the tokenizer, which has none")
    return replace(card, chat_template=tokenizer.chat_template)


def read_rows(
    paths: Sequence[Path], skips: Skips, made_by: str = "prm/generative/make_data.py"
) -> list[tuple[str, VerdictRow]]:
    """Prompts and completions with their places. Raises UserError: unreadable, a bad row, no row."""
    found: list[tuple[str, VerdictRow]] = []
    for path in paths:
        for line, row in rows(path):
            try:
                if isinstance(row, BadRow):
                    raise row
                prompt, completion = field(row, "prompt", str), field(row, "completion", str)
            except BadRow as error:
                skips.add(place(path, line), f"{error} (rows of {made_by} are needed)")
            else:
                found.append((place(path, line), VerdictRow(prompt=prompt, completion=completion, label=-1, id="")))
    if not found:
        raise UserError(f"{', '.join(map(str, paths))}: nothing to learn")
    return found


def sha256(found: Sequence[tuple[str, VerdictRow]]) -> str:
    """Over prompts and completions, in order."""
    digest = hashlib.sha256()
    for _, row in found:
        digest.update(encoded(json.dumps([row["prompt"], row["completion"]]) + "\n"))
    return digest.hexdigest()


def encode_all(found: Sequence[tuple[str, VerdictRow]], card: PRMCard, tokenizer: Any, skips: Skips) -> list[Example]:
    """The examples of all rows; one that cannot be learnt is a bad row. Raises UserError."""
    examples = []
    for where, row in found:
        try:
            examples.append(encode(row, card, tokenizer))
        except UserError as error:
            skips.add(where, error)
    if not examples:
        raise UserError(f"nothing to learn; {skips.messages[-1]}")
    return examples


def encode(row: VerdictRow, card: PRMCard, tokenizer: Any) -> Example:
    """Prompt, completion and end of text; the completion's tokens and the end are learnt.

    The prompt becomes the tokens that the LM worker makes of it, and the verdict is the one token that it tells the
    probability of. Raises UserError.
    """
    prompt = encode_prompt(tokenizer, render(lm_card(card), row["prompt"]))
    verdict = next((text for text in (card.good, card.bad) if row["completion"].endswith(text)), None)
    if verdict is None:
        raise UserError(f"the completion ends with neither {card.good!r} nor {card.bad!r}")
    completion = tokenizer.encode(row["completion"].removesuffix(verdict), add_special_tokens=False)
    completion += tokenizer.encode(verdict, add_special_tokens=False)
    completion += [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    ids = prompt + completion
    if len(ids) > card.max_length:
        raise UserError(f"{len(ids)} tokens are more than the {card.max_length} of card {card.name!r}")
    learnt = range(len(prompt) - 1, len(ids) - 1)
    return Example(array("i", ids), tuple(learnt), (1.0,) * len(learnt), (1.0,) * len(learnt))


@dataclass
class JudgeEvaluation:
    """Labelled solutions, judged at once step by step, as a judge without a rationale is in use."""

    cases: Sequence[Case]
    layouts: list[Layout]  # one a step
    card: PRMCard
    batch_tokens: int

    @classmethod
    def prepare(
        cls, cases: Sequence[Case], card: PRMCard, tokenizer: Any, batch_tokens: int, skips: Skips
    ) -> JudgeEvaluation:
        """Lay out the steps. Raises UserError."""
        kept, layouts = [], []
        for case in cases:
            try:
                steps = [lay_out(case, n, card, tokenizer) for n in range(1, len(case.steps) + 1)]
            except (ModelError, UserError) as error:
                skips.add(case.place, error)
                continue
            kept.append(case)
            layouts += steps
        return cls(kept, layouts, stand_in(card), batch_tokens)

    def measure(self, trainee: Trainee) -> dict[str, float]:
        """AUC, F1 and so on; every process does all of the work."""
        scorer = Scorer(trainee.margins.bare, trainee.tokenizer, self.card, self.batch_tokens)
        scores = iter(scorer.run(self.layouts).all_scores())
        return figures(
            ScoredCases("test data", list(self.cases), [[next(scores)[0] for _ in c.steps] for c in self.cases])
        )


def lay_out(case: Case, steps: int, card: PRMCard, tokenizer: Any) -> Layout:
    """The prompt about the last of the first `steps` steps, read at its last token. Raises UserError, ModelError."""
    ids = encode_prompt(tokenizer, judge_prompt(card, case.question, case.steps[:steps]))
    if len(ids) > card.max_length:
        raise UserError(f"{len(ids)} tokens are more than the {card.max_length} of card {card.name!r}")
    return Layout(tuple(ids), (len(ids) - 1,))


@dataclass
class JudgeStudent:
    """A judge in training, see `train.core.fit.Student`; its folders hold the card that a worker serves it with."""

    trainee: Trainee
    card: PRMCard
    evaluation: JudgeEvaluation | None = None
    bf16: bool = False  # arithmetic
    save_dtype: str | None = None  # of the finished weights; None: as they are trained
    module: NextTokens = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.module = NextTokens(self.trainee.model)

    def losses(self, part: LabelledPass) -> Tensor:
        """See `Student`."""
        with arithmetic(part.input_ids.device.type, self.bf16):
            return -self.module(part)

    def shard(self, shards: Shards) -> None:
        """See `Student`."""
        dtype = torch.bfloat16 if self.bf16 else None
        shards.layers(self.module.bare, dtype)
        shards.root(self.module, dtype)

    def test(self, processes: Processes) -> dict[str, float]:
        """See `Student`."""
        assert self.evaluation is not None
        return self.evaluation.measure(self.trainee)

    def save(self, folder: Path, weights: dict[str, Tensor] | None = None) -> None:
        """See `Student`."""
        models.save(self.trainee, folder, weights)
        self._save_card(folder)

    def restore(self, folder: Path) -> None:
        """See `Student`."""
        models.restore(self.trainee, folder)

    def finish(self, folder: Path) -> None:
        """See `Student`. An adapter is merged."""
        if self.save_dtype is not None:
            self.module.to(DTYPES[self.save_dtype])
        models.save(self.trainee, folder, merge=True)
        self._save_card(folder)

    def _save_card(self, folder: Path) -> None:
        """Put the judge's card where the stand-in's is."""
        cards.save(replace(self.card, models=()), folder)
