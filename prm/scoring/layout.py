"""From question and steps to the tokens a PRM reads and the positions where its scores stand. Needs no torch.

The text between two step tags (a run) is encoded by itself and the tag's single token is put in by its id, so the
tokens of question + steps[:k] are a prefix of those of question + steps, and no merge can swallow a tag. What a
card lays out after a tag opens the next run; nothing follows the last tag. A card without a tag reads a step's
score at the last token of its run.

A tag in the text of a question or of a step neither moves nor adds a score: at the very end of a step, where some
LMs write the mark themselves, it is dropped (the layout adds its own); anywhere else its token is replaced by the
tokens of its characters one by one. A tag of white space is ordinary text, and stays as it is.

An outcome model (ORM) is trained on finished solutions only, and what closes a solution would stand in the way of its
next step. So the layout of k steps has k parts, each of which is a solution that ends with its step and has one
score: exactly one a step, and the last is the ORM's score of the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from prm.scoring.chat import frame, render
from reason.common.errors import UserError
from reason.model_cards.card import PRMCard

CACHED_RUNS = 1 << 16  # encoded runs kept; a tree sends the same early steps again and again


class LayoutError(ValueError):
    """An input that cannot be scored: not text, without a tag, or too long. The message says which and why."""


@dataclass(frozen=True)
class Layout:
    """The tokens of one input, and for each step the position whose hidden state gives its score."""

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    dropped: int = 0  # question tokens left out by the card's overflow rule
    start: int = 0  # position of the first step's first token, where the card encodes the question apart
    parts: tuple[Layout, ...] = ()  # of an outcome model: one for each step; tokens and positions are the last one's

    @property
    def inputs(self) -> tuple[Layout, ...]:
        """What goes through the model: this, or its parts."""
        return self.parts or (self,)

    @property
    def scores(self) -> int:
        """How many scores it has."""
        return len(self.parts or self.positions)

    @property
    def size(self) -> int:
        """Tokens to be read."""
        return sum(len(one.tokens) for one in self.inputs)

    @cached_property
    def key(self) -> tuple[int, ...]:
        """Tokens with a -1 after each score: a key that starts another belongs to the first of the other's steps."""
        if self.parts:
            return tuple(token for part in self.parts for token in part.key)
        if not self.positions:
            return self.tokens
        marked: list[int] = []
        at = 0
        for position in self.positions:
            marked += self.tokens[at : position + 1]
            marked.append(-1)
            at = position + 1
        return (*marked, *self.tokens[at:])


class Layouter:
    """A card bound to a tokenizer. Raises UserError where the two do not fit."""

    def __init__(self, card: PRMCard, tokenizer: Any, context_length: int | None = None) -> None:
        self.card, self.tokenizer = card, tokenizer
        self.max_length = min(card.max_length, context_length or card.max_length)
        if card.overflow not in ("error", "truncate_question"):
            raise UserError(f"card {card.name!r}: overflow must be error or truncate_question, not {card.overflow!r}")
        if card.step_tag and (card.outcome or card.answer):
            raise UserError(f"card {card.name!r}: a layout with outcome or answer has no step_tag")
        self.frame = frame(card, tokenizer)
        self.strip = card.strip or self.frame.trims
        plain, special = self._encode_raw("a"), tokenizer.encode("a", add_special_tokens=True)
        self.bos = tuple(special[:1]) if special[0] != plain[0] and not card.chat else ()  # templates write their own
        # Tokenizers that put a space before any text (SentencePiece) spell a lone newline with more than one token;
        # a run inside the text is then encoded behind a newline, which is cut off again.
        newline = self._encode_raw("\n")
        self.anchor = newline if len(newline) > 1 else ()
        self.tag = self.single_token("step_tag", card.step_tag) if card.step_tag else None
        self.spelled_tag: tuple[int, ...] = ()
        if card.step_tag.strip():
            self.spelled_tag = tuple(token for char in card.step_tag for token in self._continue(char))
        if self.tag in self.spelled_tag:
            raise UserError(f"card {card.name!r}: step_tag {card.step_tag!r} is a single character of the tokenizer")
        self._run = lru_cache(CACHED_RUNS)(self._encode_run)
        if card.chat:
            self._compare_with_template()

    def single_token(self, field: str, text: str) -> int:
        """The id of the one token that `text` is; `field` names the card's field in the UserError otherwise."""
        ids = self._encode_raw(text)
        if len(ids) != 1:
            raise UserError(f"card {self.card.name!r}: {field} {text!r} must be one token, but is {len(ids)}: {ids}")
        return ids[0]

    def lay_out(self, question: str, steps: Sequence[str]) -> Layout:
        """Lay out one input; steps come as the LM wrote them. Raises LayoutError."""
        if not self.card.outcome:
            return self._fitting(question, steps)
        parts = tuple(self._fitting(question, steps[:k]) for k in range(1, len(steps) + 1))
        return replace(parts[-1], parts=parts) if parts else Layout((), ())

    def lay_out_text(self, text: str) -> Layout:
        """A text laid out by the client, tags and all: scores are read at each tag in it. Raises LayoutError."""
        if len(self.card.step_tag) < 2:
            raise LayoutError(
                f"card {self.card.name!r} has no step tag that could be told from a text: send question and steps"
            )
        tokens = list(self.bos) + list(self._encode_raw(text))
        positions = [i for i, token in enumerate(tokens) if token == self.tag]
        if not positions:
            raise LayoutError(f"the text holds no step tag {self.card.step_tag!r}, so it has no step to score")
        layout = Layout(tuple(tokens[: positions[-1] + 1]), tuple(positions))
        if len(layout.tokens) > self.max_length:
            raise self._too_long(layout)
        return layout

    def _fitting(self, question: str, steps: Sequence[str]) -> Layout:
        """The layout under the overflow rule: truncation takes the question's tokens from its left, never a step's."""
        layout = self._lay_out(question, steps)
        if len(layout.tokens) <= self.max_length:
            return layout
        if self.card.overflow == "error":
            raise self._too_long(layout)
        starts = [
            start for start, _ in self.tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)[
                "offset_mapping"
            ]
        ]  # fmt: skip
        dropped = 0
        while len(layout.tokens) > self.max_length:
            if dropped == len(starts):
                raise LayoutError(
                    f"the input is {len(layout.tokens)} tokens even without its question, more than the "
                    f"{self.max_length} of card {self.card.name!r}"
                )
            dropped = min(dropped + len(layout.tokens) - self.max_length, len(starts))
            layout = self._lay_out(question[starts[dropped] :] if dropped < len(starts) else "", steps)
        return replace(layout, dropped=dropped)

    def _lay_out(self, question: str, steps: Sequence[str]) -> Layout:
        texts = self._texts(question, steps)
        if self.card.outcome:  # in one run, as training has it
            tokens = [*self.bos, *self._encode_run("".join(texts) + self.frame.closing, True)]
            return Layout(tuple(tokens), (len(tokens) - 1,) if steps and tokens else ())
        tokens = list(self.bos)
        if self.card.question_apart:
            tokens += self._run(texts[0], True)
            if not tokens and self.card.head == "implicit":
                raise LayoutError("the question is empty, so the first token of the steps has no probability")
        start, positions = len(tokens) if self.card.question_apart else 0, []
        for number, text in enumerate(texts[1:], 1):
            first = number == 1 and not self.card.question_apart
            tokens += self._run(texts[0] + text if first else text, first)
            if self.tag is not None:
                tokens.append(self.tag)
            if not tokens:
                raise LayoutError("question and step are empty, so there is nothing to score")
            positions.append(len(tokens) - 1)
        return Layout(tuple(tokens), tuple(positions), start=start)

    def _texts(self, question: str, steps: Sequence[str]) -> list[str]:
        """The texts around the tags: the question's, then one for each step."""
        cleaned = [self._clean(step) for step in steps]
        texts = [self.frame.opening.replace("{question}", question.strip() if self.frame.trims else question)]
        if self.frame.trims and self.card.answer and cleaned and not cleaned[0]:
            texts[0] = texts[0].rstrip()  # the first turn ends with the question's layout
        for number, step in enumerate(cleaned, 1):
            after = self.frame.after.replace("{n}", str(number - 1)) if number > 1 else ""
            texts.append(after + self.frame.before.replace("{n}", str(number)).replace("{step}", step))
        return texts

    def _compare_with_template(self) -> None:
        """Raise UserError where the layout's tokens would not be those of the chat template's whole text."""
        question, steps = "What is 1 + 1?", ["First, 1 + 1 = 2.", "So the answer is 2."]
        card = self.card
        before, _, after = card.step.partition("{tag}")
        asked = card.question.replace("{question}", question)
        written = [before.replace("{n}", str(n)).replace("{step}", step) for n, step in enumerate(steps, 1)]
        whole = written[0] + card.step_tag + after.replace("{n}", "1") + written[1] + card.step_tag
        if not card.answer:
            text = render(card, self.tokenizer, [asked], whole)
        elif card.outcome:
            text = render(card, self.tokenizer, [asked + whole], card.answer)
        else:
            text = render(card, self.tokenizer, [asked + written[0], written[1]], card.answer, card.answer)
        expected = self._encode_raw(text)
        tokens = self._lay_out(question, steps).tokens
        if expected[: len(tokens)] != tokens:
            at = next(i for i, token in enumerate(tokens) if expected[i : i + 1] != (token,))
            raise UserError(
                f"card {card.name!r}: the layout differs from the chat template's at token {at}, "
                f"after {self.tokenizer.decode(tokens[max(at - 8, 0) : at])!r}"
            )
        if card.answer and expected[len(tokens)] not in self._encode_raw(card.answer)[-1:]:
            raise UserError(f"card {card.name!r}: answer {card.answer!r} is not one token of the chat template's text")

    def _too_long(self, layout: Layout) -> LayoutError:
        return LayoutError(
            f"the input is {len(layout.tokens)} tokens, but card {self.card.name!r} takes {self.max_length}"
        )

    def _clean(self, step: str) -> str:
        """The step's text without surrounding white space (by the card) and without a tag that it ends with."""
        if not self.strip:
            return step.removesuffix(self.card.step_tag)
        mark = self.card.step_tag.strip()
        step = step.strip()
        return step.removesuffix(mark).strip() if mark else step

    def _encode_run(self, text: str, first: bool) -> tuple[int, ...]:
        ids = self._encode_raw(text) if first else self._continue(text)
        if self.spelled_tag and self.tag in ids:
            ids = tuple(new for old in ids for new in (self.spelled_tag if old == self.tag else (old,)))
        return ids

    def _continue(self, text: str) -> tuple[int, ...]:
        """Tokens of a text that stands inside a longer one."""
        if not self.anchor:
            return self._encode_raw(text)
        ids = self._encode_raw("\n" + text)
        if ids[: len(self.anchor)] != self.anchor:
            raise UserError(f"card {self.card.name!r}: the tokenizer cannot encode a text run by run")
        return ids[len(self.anchor) :]

    def _encode_raw(self, text: str) -> tuple[int, ...]:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise LayoutError(f"the text is not valid Unicode: {error.reason} at character {error.start}") from None
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))
