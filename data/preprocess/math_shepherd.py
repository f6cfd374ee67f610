"""Math-Shepherd (Wang et al., 2024): `input` holds a tag behind each step, `label` that text with + or - instead."""

from __future__ import annotations

import re
from collections.abc import Iterator

from data.preprocess.common import LABELS, LabelledSolution, ReadingOptions
from reason.common.rows import BadRow, Row, field, quoted

TAG = "ки"
FIRST = re.compile(r"(?:^|\s)Step 1:\s")
NUMBER = re.compile(r"\s*Step \d+:\s*")


def read(row: Row, options: ReadingOptions) -> Iterator[LabelledSolution]:
    """One solution a row, its steps without "Step k: ". Raises BadRow, also when the two texts do not agree."""
    text, judged = field(row, "input", str), field(row, "label", str)
    first = FIRST.search(text)
    if first is None or not text[: first.start()].strip():
        raise BadRow("input", 'a question and then "Step 1: " are needed')
    *pieces, rest = text.split(TAG)
    if rest.strip() or not pieces:
        raise BadRow("input", f"{TAG!r} is needed behind each step; the text ends with {quoted(text[-20:])}")
    labels, at = [], 0
    for i, piece in enumerate(pieces):
        end = at + len(piece)
        if judged[at:end] != piece or judged[end : end + 1] not in ("+", "-"):
            raise BadRow("label", f'`input` with "+" or "-" for each {TAG} is needed; step {i + 1} differs')
        labels.append(LABELS[judged[end]])
        at = end + 1
    if judged[at:].strip():
        raise BadRow("label", "goes on behind the last step")
    pieces[0] = pieces[0][first.start() :]
    steps = [NUMBER.sub("", piece, count=1) if NUMBER.match(piece) else piece for piece in pieces]
    steps = [step.strip() for step in steps]
    if "" in steps:
        raise BadRow("input", f"step {steps.index('') + 1} is empty")
    yield LabelledSolution(text[: first.start()].strip(), steps, labels)
