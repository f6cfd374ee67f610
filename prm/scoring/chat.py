"""From a chat template to the texts around questions and steps: a chat card becomes a plain layout. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reason.common.errors import UserError
from reason.model_cards.card import PRMCard

QUESTION, STEP, ANSWER = "zqzquestionzqz", "zqzstepzqz", "zqzanswerzqz"  # stand for texts while a template is read


@dataclass(frozen=True)
class Frame:
    """The texts of a layout: opening, then for each step `before`, its tag if there is one, and `after`.

    What follows the last score is left out, except `closing` for an outcome model.
    """

    opening: str  # with {question}
    before: str  # with {step} and {n}
    after: str
    closing: str = ""
    trims: bool = False  # whether the template drops white space around a turn's text


def frame(card: PRMCard, tokenizer: Any) -> Frame:
    """The card's layout as texts. Raises UserError where the card is malformed or no such template is there."""
    if "{question}" not in card.question:
        raise UserError(f"card {card.name!r}: question must hold {{question}}")
    before, tag, after = card.step.partition("{tag}")
    if not tag or "{step}" not in before or "{tag}" in after or "{step}" in after:
        raise UserError(f"card {card.name!r}: step must hold {{step}} and, after it, one {{tag}}")
    if "{bos}" in card.question and not tokenizer.bos_token:
        raise UserError(f"card {card.name!r}: question holds {{bos}}, but the tokenizer has no such token")
    question = card.question.replace("{bos}", tokenizer.bos_token or "")
    if not card.chat:
        if card.answer:
            raise UserError(f"card {card.name!r}: answer is for layouts with chat: true")
        return Frame(question, before, after, card.closing)
    trims = f" {QUESTION} " not in render(card, tokenizer, [f" {QUESTION} "], " ")
    if not card.answer:
        head, between, tail = _pieces(card, tokenizer, [QUESTION], [STEP])
        return Frame(head + question + between, before, after, tail, trims)
    if card.outcome:
        head, between, _ = _pieces(card, tokenizer, [QUESTION], [ANSWER])
        return Frame(head + question, before, after, between, trims)
    head, between, then, again, _ = _pieces(card, tokenizer, [QUESTION, STEP], [ANSWER, ANSWER])
    *_, then_2, again_2, _ = _pieces(card, tokenizer, [QUESTION, STEP, STEP], [ANSWER] * 3)
    if not between == again == again_2 or then != then_2:
        raise UserError(f"card {card.name!r}: the chat template lays turns out differently by their place")
    return Frame(head + question, before + between, card.answer + then, "", trims)


def render(card: PRMCard, tokenizer: Any, users: Sequence[str], *assistants: str) -> str:
    """The template's text of turns that alternate, after the card's system turn."""
    messages = [{"role": "system", "content": card.system}] if card.system else []
    for user, assistant in zip(users, assistants, strict=True):
        messages += [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
    try:
        return tokenizer.apply_chat_template(messages, chat_template=card.chat_template or None, tokenize=False)
    except Exception as error:  # a template is a program, which may raise anything
        raise UserError(f"card {card.name!r}: its chat template cannot be used: {error}") from None


def _pieces(card: PRMCard, tokenizer: Any, users: Sequence[str], assistants: Sequence[str]) -> list[str]:
    """The template's own text before, between and after the turns."""
    rest = render(card, tokenizer, users, *assistants)
    pieces = []
    for turn in (turn for pair in zip(users, assistants, strict=True) for turn in pair):
        piece, found, rest = rest.partition(turn)
        if not found:
            raise UserError(f"card {card.name!r}: the chat template does not hold its turns' text in order")
        pieces.append(piece)
    return [*pieces, rest]
