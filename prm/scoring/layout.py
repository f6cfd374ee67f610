"""From question and steps to the tokens a PRM reads and the positions where its scores stand. Needs no torch.

The text between two step tags (a run) is encoded by itself and the tag's single token is put in by its id, so the
tokens of question + steps[:k] are a prefix of those of question + steps, and no merge can swallow a tag. What a
card lays out after a tag opens the next run; nothing follows the last tag.

A tag in the text of a question or of a step neither moves nor adds a score: at the very end of a step, where some
LMs write the mark themselves, it is dropped (the layout adds its own); anywhere else its token is replaced by the
tokens of its characters one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from reason.model_cards.card import CardError, PRMCard

CACHED_RUNS = 1 << 16  # encoded runs kept; a tree sends the same early steps again and again


class LayoutError(ValueError):
    """An input that cannot be scored: not text, without a tag, or too long. The message says which and why."""


@dataclass(frozen=True)
class Layout:
    """The tokens of one input, and for each step the position whose hidden state gives its score."""

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    dropped: int = 0  # question tokens left out by the card's overflow rule


class Layouter:
    """A card bound to a tokenizer. Raises CardError where the two do not fit."""

    def __init__(self, card: PRMCard, tokenizer: Any, context_length: int | None = None) -> None:
        self.card, self.tokenizer = card, tokenizer
        self.max_length = min(card.max_length, context_length or card.max_length)
        self.before, self.after = self._split_step_layout()
        if "{question}" not in card.question:
            raise CardError(f"card {card.name!r}: question must hold {{question}}")
        if card.overflow not in ("error", "truncate_question"):
            raise CardError(f"card {card.name!r}: overflow must be error or truncate_question, not {card.overflow!r}")
        plain, special = self._encode_raw("a"), tokenizer.encode("a", add_special_tokens=True)
        self.bos = tuple(special[:1]) if special[0] != plain[0] else ()
        # Tokenizers that put a space before any text (SentencePiece) spell a lone newline with more than one token;
        # a run inside the text is then encoded behind a newline, which is cut off again.
        newline = self._encode_raw("\n")
        self.anchor = newline if len(newline) > 1 else ()
        self.tag = self.single_token("step_tag", card.step_tag)
        self.spelled_tag = tuple(token for char in card.step_tag for token in self._continue(char))
        if self.tag in self.spelled_tag:
            raise CardError(f"card {card.name!r}: step_tag {card.step_tag!r} is a single character of the tokenizer")
        self._run = lru_cache(CACHED_RUNS)(self._encode_run)

    def single_token(self, field: str, text: str) -> int:
        """The id of the one token that `text` is; `field` names the card's field in the CardError otherwise."""
        ids = self._encode_raw(text)
        if len(ids) != 1:
            raise CardError(f"card {self.card.name!r}: {field} {text!r} must be one token, but is {len(ids)}: {ids}")
        return ids[0]

    def lay_out(self, question: str, steps: Sequence[str]) -> Layout:
        """Lay out one input; steps come as the LM wrote them. Raises LayoutError."""
        opening = self.card.question.replace("{question}", question)
        text, tokens, positions = opening, list(self.bos), []
        for number, step in enumerate(steps, 1):
            text += self.before.replace("{n}", str(number)).replace("{step}", self._clean(step))
            tokens += self._run(text, number == 1)
            positions.append(len(tokens))
            tokens.append(self.tag)
            text = self.after.replace("{n}", str(number))
        return self._fit(tokens, positions, opening)

    def lay_out_text(self, text: str) -> Layout:
        """A text laid out by the client, tags and all: scores are read at each tag in it. Raises LayoutError."""
        tokens = list(self.bos) + list(self._encode_raw(text))
        positions = [i for i, token in enumerate(tokens) if token == self.tag]
        if not positions:
            raise LayoutError(f"the text holds no step tag {self.card.step_tag!r}, so it has no step to score")
        return self._fit(tokens[: positions[-1] + 1], positions, "")

    def _fit(self, tokens: list[int], positions: list[int], opening: str) -> Layout:
        """Apply the overflow rule; truncation takes the question's tokens from its left, never a step's."""
        excess = len(tokens) - self.max_length
        if excess <= 0:
            return Layout(tuple(tokens), tuple(positions))
        start = len(self.bos)
        if self.card.overflow == "error" or not opening:
            raise LayoutError(f"the input is {len(tokens)} tokens, but card {self.card.name!r} takes {self.max_length}")
        if excess > len(self._encode_raw(opening)):
            raise LayoutError(
                f"the input is {len(tokens)} tokens, and even without its question more than the {self.max_length} "
                f"of card {self.card.name!r}"
            )
        kept = tokens[:start] + tokens[start + excess :]
        return Layout(tuple(kept), tuple(position - excess for position in positions), excess)

    def _clean(self, step: str) -> str:
        """The step's text without surrounding white space (by the card) and without a tag that it ends with."""
        if not self.card.strip:
            return step.removesuffix(self.card.step_tag)
        mark = self.card.step_tag.strip()
        step = step.strip()
        return step.removesuffix(mark).strip() if mark else step

    def _encode_run(self, text: str, first: bool) -> tuple[int, ...]:
        ids = self._encode_raw(text) if first else self._continue(text)
        if self.tag in ids:
            ids = tuple(new for old in ids for new in (self.spelled_tag if old == self.tag else (old,)))
        return ids

    def _continue(self, text: str) -> tuple[int, ...]:
        """Tokens of a text that stands inside a longer one."""
        if not self.anchor:
            return self._encode_raw(text)
        ids = self._encode_raw("\n" + text)
        if ids[: len(self.anchor)] != self.anchor:
            raise CardError(f"card {self.card.name!r}: the tokenizer cannot encode a text run by run")
        return ids[len(self.anchor) :]

    def _encode_raw(self, text: str) -> tuple[int, ...]:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise LayoutError(f"the text is not valid Unicode: {error.reason} at character {error.start}") from None
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _split_step_layout(self) -> tuple[str, str]:
        """The card's step layout before and after its tag."""
        before, tag, after = self.card.step.partition("{tag}")
        if not tag or "{step}" not in before or "{tag}" in after or "{step}" in after:
            raise CardError(f"card {self.card.name!r}: step must hold {{step}} and, after it, one {{tag}}")
        return before, after
