"""ProcessBench (Zheng et al., 2024): `label` is the index of the first wrong step, or -1 when all are right."""

from __future__ import annotations

from collections.abc import Iterator

from data.preprocess.common import RIGHT, UNKNOWN, WRONG, LabelledSolution, ReadingOptions
from reason.common.rows import BadRow, Row, elements, field, text_field


def read(row: Row, options: ReadingOptions) -> Iterator[LabelledSolution]:
    """One solution a row, with the row's own id; nothing is known of the steps after the first error. Raises BadRow."""
    steps = [step.strip() for step in elements(row, "steps", str)]
    if not all(steps) or not steps:
        raise BadRow("steps", f"step {steps.index('') + 1} is empty" if steps else "is empty")
    error = field(row, "label", int)
    if not -1 <= error < len(steps):
        raise BadRow("label", f"is {error}, and there are {len(steps)} steps")
    labels = [RIGHT] * len(steps)
    if error >= 0:
        labels[error:] = [WRONG] + [UNKNOWN] * (len(steps) - error - 1)
    yield LabelledSolution(text_field(row, "problem"), steps, labels, id=text_field(row, "id"))
