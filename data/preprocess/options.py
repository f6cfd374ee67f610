"""What a reader of a format is, and what it may be told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from data.preprocess.common import STEP_TAG, UNKNOWN, Solution
from reason.common.rows import Row


@dataclass
class Options:
    """How a row becomes solutions. `notes` counts what a reader leaves out, in the words of the summary."""

    neutral: int = UNKNOWN  # the label of PRM800K's rating 0
    hard_above: float | None = None  # an MC value above it is right; None: the file's own label, else 0 (OpenR: 0.5)
    step_tag: str = STEP_TAG  # of OpenR's flat form
    notes: Counter[str] = field(default_factory=Counter)


Reader = Callable[[Row, Options], Iterable[Solution]]  # raises BadRow
