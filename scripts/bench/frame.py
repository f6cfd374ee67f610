"""The frame of a benchmark: rows that are printed as they come, and written however it ends."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reason.common.files import write_json
from reason.common.processes import ended_by_signals

Row = dict[str, Any]


class Rows(list[Row]):
    """The rows of one table."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def add(self, row: Row) -> None:
        """Append a row and print it; the first one's names are the columns."""
        if not self:
            print("  ".join(f"{name:>{self.width}}" for name in row))
        self.append(row)
        cells = (row.get(name, "") for name in self[0])
        print("  ".join(f"{_short(cell):>{self.width}}" for cell in cells), flush=True)


def _short(cell: Any) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


@contextmanager
def bench_rows(bench: str, file: Path | None, width: int = 14, **machine: Any) -> Iterator[Rows]:
    """The rows of a benchmark, which go to `file` at the end: {"bench", "machine", "rows"}.

    Ctrl-C, SIGTERM, SIGHUP and errors leave the rows there are in it, with "complete": false. `machine`: what is said
    of the machine beside its cores, its kind and the version of Python.
    """
    rows, complete = Rows(width), False
    about = {"cores": os.cpu_count(), "machine": platform.machine(), "python": platform.python_version()} | machine
    with ended_by_signals():
        try:
            yield rows
            complete = True
        finally:
            if file is not None and (complete or rows):
                written: Mapping[str, Any] = {"bench": bench, "machine": about, "rows": rows}
                write_json(file, dict(written) if complete else {**written, "complete": False})
