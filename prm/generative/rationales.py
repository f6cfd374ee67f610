"""Rationales from served models, kept where the verdict they come to is the step's label: verified rationales.

Two writers: a judge, which is asked as in use (Zhang et al., 2024, section 3.3); and the policy itself, which writes
the step anew from the steps before it. Where it comes to the same step the verdict is good, elsewhere bad: enough for
models that can solve but not explain. Neither asks an oracle.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from data.preprocess.common import RIGHT, WRONG
from envs.base_env import Problem, Task
from prm.benchmarks.cases import Case
from prm.generative.verdicts import VerdictRow, read_verdict, row
from reason.common.seeds import draw_seed
from reason.inference.base import LanguageModel, Sampling
from reason.inference.judge import judge_prompt
from reason.inference.ledger import Ledger
from reason.inference.prompting import render
from reason.model_cards.card import PRMCard

VERDICT_TOKENS = 8  # that a judge may write behind its rationale


class Writer(Protocol):
    """Writes rationales on a step of a solution."""

    async def write(self, case: Case, index: int, samples: int, seed: int) -> list[tuple[str, int] | None]:
        """Rationales (with the card's `end`) and the label each comes to, None where it comes to none."""
        ...


@dataclass(frozen=True)
class JudgeWriter:
    """A served generative judge with a card that has a rationale."""

    card: PRMCard
    lm: LanguageModel

    async def write(self, case: Case, index: int, samples: int, seed: int) -> list[tuple[str, int] | None]:
        """See `Writer`. Raises ModelError."""
        wanted = self.card.rationale
        assert wanted is not None
        prompt = judge_prompt(self.card, case.question, case.steps[: index + 1])
        sampling = Sampling(wanted.temperature, max_tokens=wanted.max_tokens + VERDICT_TOKENS)
        seeds = [draw_seed(seed, prompt, (), 0, k) for k in range(samples)]
        return [read_verdict(self.card, s.text) for s in await self.lm.generate(prompt, sampling, seeds, Ledger())]


@dataclass(frozen=True)
class PolicyWriter:
    """The policy that is to be judged, at its own temperature."""

    card: PRMCard
    lm: LanguageModel
    task: Task

    async def write(self, case: Case, index: int, samples: int, seed: int) -> list[tuple[str, int] | None]:
        """See `Writer`. Raises ModelError."""
        assert self.card.rationale is not None
        own, end = self.lm.card, self.card.rationale.end
        start = render(own, self.task.prompt(Problem(case.id, case.question, "")))
        prompt = start + "".join(step + own.step_separator for step in case.steps[:index])
        sampling = Sampling(
            own.sampling.get("temperature", 1.0), max_tokens=self.card.rationale.max_tokens,
            stop=(own.step_separator, *own.stop),
        )  # fmt: skip
        seeds = [draw_seed(seed, prompt, (), 0, k) for k in range(samples)]
        drawn = await self.lm.generate(prompt, sampling, seeds, Ledger())
        steps = [s.text.strip() if s.finish_reason == "stop" else "" for s in drawn]
        same = case.steps[index].strip()
        return [(s + end, RIGHT if s == same else WRONG) if s and end not in s else None for s in steps]


async def verified(
    card: PRMCard, writer: Writer, case: Case, indices: Iterable[int], samples: int, seed: int
) -> tuple[list[VerdictRow], Counter[str]]:
    """The rows of these steps, one for each different rationale that comes to the label; and counts. Raises ModelError.

    A step's rationales depend on the step, those before it and the seed alone.
    """
    rows, counts = list[VerdictRow](), Counter[str]()
    for index in indices:
        written = await writer.write(case, index, samples, seed)
        read = [verdict for verdict in written if verdict is not None]
        agreeing = [rationale for rationale, label in read if label == case.labels[index]]
        rows += [row(card, case, index, rationale) for rationale in dict.fromkeys(agreeing)]
        counts.update(
            written=len(written), agreed=len(agreeing), unreadable=len(written) - len(read), steps=1,
            steps_kept=bool(agreeing),
        )  # fmt: skip
    return rows, counts


def with_template(card: PRMCard, lm: LanguageModel) -> PRMCard:
    """The judge's card with the served model's chat template, where it needs one and has none."""
    return card if card.chat_template or not card.chat else replace(card, chat_template=lm.card.chat_template)
