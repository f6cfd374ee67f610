"""OpenR's flat form, {"question", "process", "label"}: what its converters wrote and its trainers read."""

from __future__ import annotations

from collections.abc import Iterator

from data.preprocess.common import Solution, from_openr
from data.preprocess.options import Options
from reason.common.rows import Row


def read(row: Row, options: Options) -> Iterator[Solution]:
    """One solution a row. Raises BadRow."""
    yield from_openr(row, options.step_tag)
