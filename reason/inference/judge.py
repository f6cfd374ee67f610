"""A generative judge as a reward model: an LM that is asked of each step whether it is right.

The score of a step is P(good) against P(bad) of the token with which the judge answers (Zhang et al., 2024, GenRM),
or the mean of these over K sampled rationales that it writes first (GenRM-CoT). A judge is one request a step, or
K and a few, so scores are kept: a tree asks for those of its early steps again and again. What a judge writes is data:
it is searched for the card's `end` and given back to the judge, nothing else.
"""

from __future__ import annotations

import math
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from envs.base_env import Problem
from reason.common.concurrency import together
from reason.common.seeds import draw_seed
from reason.inference.base import LanguageModel, ModelError, Sampling
from reason.inference.ledger import Ledger
from reason.inference.prompting import render
from reason.model_cards.card import LMCard, PRMCard

KEPT = 1 << 15  # scores
LEAST_MASS = 1e-3  # of both verdicts together: a judge that gives them less wants to say something else


class NoVerdict(ModelError):
    """What the judge wants to say next is neither of its verdicts."""


@dataclass
class JudgeRM:
    """A `RewardModel` over an LM with a card of head "generative"."""

    card: PRMCard
    lm: LanguageModel
    details: Mapping[str, Any]
    seed: int = 0  # of the rationales
    _known: dict[str, tuple[float, int]] = field(default_factory=dict)  # prompt -> score, tokens that it took

    async def score(self, problem: Problem, solutions: Sequence[Sequence[str]], ledger: Ledger) -> list[list[float]]:
        """See `RewardModel.score`. The judge's tokens, read and written, are the ledger's PRM tokens."""
        started = time.monotonic()
        asked = [
            [judge_prompt(self.card, problem.question, steps[:n]) for n in range(1, len(steps) + 1)]
            for steps in solutions
        ]
        prompts = dict.fromkeys(prompt for row in asked for prompt in row)
        found = {prompt: self._known[prompt] for prompt in prompts if prompt in self._known}
        new, spent = [prompt for prompt in prompts if prompt not in found], Ledger()
        ledger.prm_tokens_reused += sum(tokens for _, tokens in found.values())
        try:
            found.update(zip(new, await together([self._judge(prompt, spent) for prompt in new]), strict=True))
        finally:
            ledger.prm_calls += spent.lm_calls
            ledger.prm_tokens_computed += spent.prompt_tokens - spent.prompt_tokens_reused + spent.generated_tokens
            ledger.prm_tokens_reused += spent.prompt_tokens_reused
            ledger.seconds_scoring += time.monotonic() - started
        self._keep({prompt: found[prompt] for prompt in new})
        return [[found[prompt][0] for prompt in row] for row in asked]

    async def close(self) -> None:
        """See `RewardModel.close`."""
        await self.lm.close()

    async def self_test(self) -> bool | None:
        """Whether the card's good solution scores above its bad one, by their lowest step; None without a test.

        Prints one warning where it does not. Raises ModelError.
        """
        test = self.card.self_test
        if test is None:
            return None
        problem = Problem("self-test", test.question, "")
        good, bad = (min(scores) for scores in await self.score(problem, [test.good, test.bad], Ledger()))
        if good <= bad:
            print(
                f"warning: the judge {self.card.name!r} gives its self-test's bad solution {bad:.3f}, the good one "
                f"only {good:.3f}: check that the card is this model's", file=sys.stderr,
            )  # fmt: skip
        return good > bad

    def _keep(self, scores: dict[str, tuple[float, int]]) -> None:
        self._known |= scores
        for oldest in list(self._known)[: max(0, len(self._known) - KEPT)]:
            del self._known[oldest]

    async def _judge(self, prompt: str, ledger: Ledger) -> tuple[float, int]:
        """The score of the last step of a prompt, and the tokens it took."""
        spent = Ledger()
        try:
            score = await self._mean_verdict(prompt, spent)
        finally:
            ledger.add(spent)
        return score, spent.prompt_tokens + spent.generated_tokens

    async def _mean_verdict(self, prompt: str, ledger: Ledger) -> float:
        """P(good), averaged over rationales where the card wants some. Raises ModelError where most end without one.

        Rationales are seeded by the prompt: a step's score depends on question, steps and `seed` alone.
        """
        wanted = self.card.rationale
        if wanted is None:
            return await self._verdict(prompt, ledger)
        sampling = Sampling(wanted.temperature, max_tokens=wanted.max_tokens, stop=(wanted.end,))
        seeds = [draw_seed(self.seed, prompt, (), 0, k) for k in range(wanted.samples)]
        samples = await self.lm.generate(prompt, sampling, seeds, ledger)
        texts = Counter(sample.text for sample in samples if sample.text.endswith(wanted.end))
        scores = await together([self._verdict_or_none(prompt + text, ledger) for text in texts])
        given = [(score, n) for score, n in zip(scores, texts.values(), strict=True) if score is not None]
        count = sum(n for _, n in given)
        if 2 * count < wanted.samples or not count:
            raise ModelError(
                f"only {count} of {wanted.samples} rationales of the judge {self.card.name!r} came to a "
                f"verdict, within {wanted.max_tokens} tokens each"
            )
        return sum(score * n for score, n in given) / count

    async def _verdict_or_none(self, prompt: str, ledger: Ledger) -> float | None:
        """P(good) after a rationale; None where the judge gives no verdict, for others of the step may have one."""
        try:
            return await self._verdict(prompt, ledger)
        except NoVerdict:
            return None

    async def _verdict(self, prompt: str, ledger: Ledger) -> float:
        """P(good) / (P(good) + P(bad)) of the next token. Raises NoVerdict where it is likely to be neither."""
        good, bad = await self.lm.logprobs_of(prompt, (self.card.good, self.card.bad), ledger)
        mass = math.exp(good) + math.exp(bad)
        if mass < LEAST_MASS:
            raise NoVerdict(
                f"the judge {self.card.name!r} gives no verdict: {self.card.good!r} and {self.card.bad!r} have a "
                f"probability of {mass:.1g} together; check that the card is this model's"
            )
        return sigmoid(good - bad)


def asking(card: PRMCard, question: str, steps: Sequence[str]) -> str:
    """The text that asks the judge about the last of `steps`."""
    text = card.question.replace("{question}", question)
    for number, step in enumerate(steps, 1):
        layout = card.step.replace("{tag}", "").replace("{n}", str(number))
        text += layout.replace("{step}", step.strip() if card.strip else step)
    return text + card.ask.replace("{n}", str(len(steps)))


def judge_prompt(card: PRMCard, question: str, steps: Sequence[str]) -> str:
    """What the judge reads before it answers on the last of `steps`. Raises ModelError where no template is."""
    try:
        return render(lm_card(card), asking(card, question, steps))
    except ValueError as error:
        raise ModelError(str(error)) from None


def lm_card(card: PRMCard) -> LMCard:
    """The judge's card as an LM's: its whole text is one user's turn, or a raw prompt."""
    prompt = "" if card.chat else "{question}"
    return LMCard(card.name, prompt, card.chat_template, card.system)


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
