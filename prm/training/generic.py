"""The card of a PRM that is made from a model without a card of its own for that: a two-class head at a separator."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from reason.common.errors import UserError
from reason.model_cards import card as cards
from reason.model_cards.card import PRMCard

SEPARATORS = ("\n\n", "\n", " \n\n\n\n\n")  # behind a step; the first one that is a token of the tokenizer


def card_or_generic(model_path: str, name: str | None, usual: bool) -> tuple[PRMCard, str]:
    """(the card of what is trained, a line that says so where it is the generic one). Raises UserError.

    The generic card is for a folder whose own card is a language model's, for one without any card, and, where the name
    is but the `usual` one of an entry point, for a tokenizer in which that card's tag is no token.
    """
    folder = Path(model_path)
    if name is None and folder.is_dir():
        own = folder / cards.OWN
        of_lm = own.is_file() and not isinstance(cards.load(own), PRMCard)
        if of_lm or not cards.is_known(model_path, None):
            why = "its card is a language model's" if of_lm else "it has no card"
            return _generic(model_path, why)
    card = cards.find(model_path, "prm", name)
    if usual and folder.is_dir() and card.step_tag and not _is_token(_tokenizer(model_path), card.step_tag):
        return _generic(model_path, f"{card.step_tag!r}, the step tag of card {card.name!r}, is no token of it")
    return card, ""


def _generic(model_path: str, why: str) -> tuple[PRMCard, str]:
    tokenizer = _tokenizer(model_path)
    tag = next((text for text in SEPARATORS if _is_token(tokenizer, text)), "")
    step = "{step}{tag}" if tag else "{step}\n{tag}"
    card = replace(
        cards.find("", "prm", "trl-prm"), name="generic-prm", step_tag=tag, step=step, self_test=None, models=()
    )
    where = f"behind each step's {tag!r}" if tag else "at the end of each step"
    return card, f"{model_path}: {why}; it becomes a PRM with a new two-class head {where}; --card names another layout"


def _tokenizer(model_path: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(model_path)
    except (OSError, ValueError) as error:
        raise UserError(f"{model_path}: its tokenizer cannot be loaded: {' '.join(str(error).split())}") from None


def _is_token(tokenizer: Any, text: str) -> bool:
    return len(tokenizer.encode(text, add_special_tokens=False)) == 1
