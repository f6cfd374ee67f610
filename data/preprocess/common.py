"""The common format of process supervision: one solution a line of JSONL, one label a step.

    {"question": str,
     "steps": [str, ...],          without the separator, the step tag and the white space around them
     "labels": [int, ...],         1 right, 0 wrong, -1 neutral or unknown (outside the loss and every metric)
     "values": [float|null, ...],  the soft label, an MC value in [0, 1]; null where inferred
     "c": [int|null, ...],         where known: correct completions of
     "k": [int|null, ...],           this many
     "kind": [str|null, ...],      where known: estimated, inferred or graded
     "source": str,                the name of the format it came from
     "id": str}                    unique in its file

All lists have one element a step. Steps follow each other in the order of the solution and the last one need not end
it: an alternative step ends its line, so that each step is judged after the very steps that it continues.

OpenR's flat form of the same solution is {"question", "process", "label"}, a JSON list of which is a file: `process`
has each step followed by a space and the step tag, with a space between, `label` holds "+" or "-" for each tag.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from reason.common.errors import UserError
from reason.common.rows import BadRow, Row, checked_rows, elements, field, quoted, text_field

RIGHT, WRONG, UNKNOWN = 1, 0, -1
STEP_TAG = "\n\n\n\n\n"  # OpenR's, one token of Qwen's and Llama's vocabularies
SIGNS = {RIGHT: "+", WRONG: "-"}
LABELS = {"+": RIGHT, "-": WRONG, 1: RIGHT, 0: WRONG}
PER_STEP = ("values", "c", "k", "kind")  # optional, one element a step


@dataclass
class ReadingOptions:
    """How a row becomes solutions. `notes` counts what a reader leaves out, in the words of the summary."""

    neutral: int = UNKNOWN  # the label of PRM800K's rating 0
    hard_above: float | None = None  # an MC value above it is right; None: the file's own label, else 0 (OpenR: 0.5)
    step_tag: str = STEP_TAG  # of OpenR's flat form
    notes: Counter[str] = dataclasses.field(default_factory=Counter)


@dataclass(slots=True)
class LabelledSolution:
    """One line of the common format."""

    question: str
    steps: list[str]
    labels: list[int]
    values: list[float | None] | None = None
    c: list[int | None] | None = None
    k: list[int | None] | None = None
    kind: list[str | None] | None = None
    source: str = ""
    id: str = ""

    def to_json(self) -> str:
        """The line, without its end. A lone surrogate stays what it is: see `encoded`."""
        row = {"question": self.question, "steps": self.steps, "labels": self.labels}
        row |= {name: value for name in PER_STEP if (value := getattr(self, name)) is not None}
        return json.dumps(row | {"source": self.source, "id": self.id}, ensure_ascii=False, allow_nan=False)

    def to_openr(self, step_tag: str = STEP_TAG) -> Row | None:
        """OpenR's flat form up to the first step without a label, which it cannot say; None when none is left.

        Raises BadRow when a step contains the tag: OpenR's trainers count tags.
        """
        kept = self.labels.index(UNKNOWN) if UNKNOWN in self.labels else len(self.labels)
        for i, step in enumerate(self.steps[:kept]):
            if step_tag in step:
                raise BadRow(f"step {i + 1}", f"contains the step tag {step_tag!r}; choose another --step-tag")
        process = " ".join(f"{step} {step_tag}" for step in self.steps[:kept])
        signs = [SIGNS[label] for label in self.labels[:kept]]
        return {"question": self.question, "process": process, "label": signs} if kept else None


def encoded(text: str) -> bytes:
    """UTF-8; a lone surrogate becomes \\udxxx, which is how JSON spells it."""
    return text.encode("utf-8", errors="backslashreplace")


def from_row(row: Row) -> LabelledSolution:
    """A row of the common format. Raises BadRow."""
    steps = elements(row, "steps", str)
    labels = elements(row, "labels", int)
    if not steps or len(labels) != len(steps):
        raise BadRow("labels", f"one a step is needed, at least one; there are {len(labels)} for {len(steps)} steps")
    if not set(labels) <= {RIGHT, WRONG, UNKNOWN}:
        raise BadRow("labels", f"1, 0 and -1 are labels, not {quoted(labels)}")
    per_step = {name: field(row, name, list) for name in PER_STEP if row.get(name) is not None}
    for name, values in per_step.items():
        if len(values) != len(steps):
            raise BadRow(name, f"one a step is needed; there are {len(values)} for {len(steps)} steps")
    question, source, identifier = text_field(row, "question"), row.get("source", ""), row.get("id", "")
    return LabelledSolution(question, steps, labels, **per_step, source=str(source), id=str(identifier))


def from_openr(row: Row, step_tag: str = STEP_TAG) -> LabelledSolution:
    """A row of OpenR's flat form. Raises BadRow, also when tags and labels do not agree in number."""
    pieces = field(row, "process", str).split(step_tag)
    signs = field(row, "label", list)
    for i, sign in enumerate(signs):
        if type(sign) not in (str, int) or sign not in LABELS:
            raise BadRow(f"label[{i}]", f'"+" or "-" is needed, not {quoted(sign)}')
    if len(pieces) != len(signs) + 1 or pieces[-1].strip() or not signs:
        ending = ", and text follows the last" if pieces[-1].strip() else ""
        raise BadRow("process", f"{len(pieces) - 1} step tags {step_tag!r} for {len(signs)} labels{ending}")
    steps = [step.strip() for step in pieces[:-1]]
    return LabelledSolution(text_field(row, "question"), steps, [LABELS[sign] for sign in signs])


def read(path: Path) -> Iterator[LabelledSolution]:
    """The solutions of a file of the common format. Raises UserError, which names file, line and field."""
    for where, row in checked_rows(path):
        try:
            yield from_row(row)
        except BadRow as error:
            raise UserError(f"{where}: {error}") from None
