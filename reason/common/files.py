"""Files that survive a kill: written whole or not at all, locked by one process, torn last lines mended."""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from reason.common.errors import UserError


def write_json(path: Path, data: Any) -> None:
    """Whole or not at all: written beside and renamed."""
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    beside.replace(path)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file that appears as `path` when the block ends without an error, else not at all. Raises UserError."""
    beside = path.with_name(path.name + ".tmp")
    try:
        with beside.open("wb") as file:
            yield file
        beside.replace(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)


def read_json(path: Path) -> Any:
    """A JSON file. Raises UserError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON: {error}") from None


def json_line(row: Any) -> bytes:
    """A row as one line of a JSONL file. A lone surrogate in it becomes \\udxxx, which is how JSON spells it.

    Raises ValueError for a number that is not finite.
    """
    return json.dumps(row, ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace") + b"\n"


def whole_lines(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """(number from 1, end in bytes, line) of each line that was written to its end; a torn last one is left out.

    Raises UserError.
    """
    end = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    return
                end += len(line)
                yield number, end, line
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def locked(path: Path, what: str = "run") -> TextIO:
    """The file opened, which no other process can lock until it is closed or this process ends. Raises UserError."""
    file = open(path, encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise UserError(f"{path.parent}: another process is writing this {what}") from None
    return file


def sha256_of_json(data: Any) -> str:
    """SHA-256 of plain data as JSON with sorted keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
