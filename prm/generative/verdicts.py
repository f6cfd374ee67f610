"""What a generative judge is fine-tuned on: one row a step, from solutions in the common format of data/preprocess.

    {"prompt": str,      the text that asks about the step in the card's layout
     "completion": str,  the verdict, behind its rationale where the card has one
     "label": int,       1 right, 0 wrong
     "id": str}          of the solution, and the number of the step from 1

Rows do not depend on the model: its chat template, where the card uses one, is put around the prompt in training.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypedDict

from data.preprocess.common import RIGHT, UNKNOWN, WRONG
from prm.benchmarks.cases import Case
from reason.inference.judge import asking
from reason.model_cards.card import PRMCard

MAX_TEXT = 20_000  # characters of a judge's text that are looked at


class VerdictRow(TypedDict):
    """A line of the file."""

    prompt: str
    completion: str
    label: int
    id: str


def labelled(case: Case, after_first_error: bool = False) -> Iterator[int]:
    """Indices of the steps with a label, up to the first wrong one; with `after_first_error` of all."""
    for index in range(len(case.steps)) if after_first_error else case.judged:
        if case.labels[index] != UNKNOWN:
            yield index


def row(card: PRMCard, case: Case, index: int, rationale: str = "") -> VerdictRow:
    """The row of one step. `rationale` holds the card's `end`."""
    label = case.labels[index]
    prompt = asking(card, case.question, case.steps[: index + 1])
    return VerdictRow(
        prompt=prompt, completion=rationale + verdict(card, label), label=label, id=f"{case.id}#{index + 1}"
    )


def verdict(card: PRMCard, label: int) -> str:
    """The text of a verdict."""
    return card.good if label == RIGHT else card.bad


def read_verdict(card: PRMCard, text: str) -> tuple[str, int] | None:
    """A judge's text up to its first verdict, as (rationale with the card's `end`, label); None where it has none."""
    assert card.rationale is not None
    rationale, end, answer = text[:MAX_TEXT].partition(card.rationale.end)
    for label in (RIGHT, WRONG):
        if end and answer.lstrip().startswith(verdict(card, label).strip()):
            return rationale + end, label
    return None
