"""Rows: of a JSONL file, of a file that holds one JSON list, or of a dataset on the hub.

Every file of rows in the project is read here, so a byte order mark, a torn line or NaN means the same everywhere.
Memory does not grow with the file. A row that cannot be read is a `BadRow`, handed out in its place so that the caller
may skip it; a file that cannot be read to its end is a `UserError`.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from reason.common.errors import UserError

Row = dict[str, Any]

MAX_ROW = 1 << 25  # bytes of a row: a longer one means that the file is something else
CHUNK = 1 << 20
NAMES = {str: "text", list: "a list", dict: "an object", int: "a whole number", bool: "true or false"}


class BadRow(ValueError):
    """One row is not of its format: the field, and what is wrong with it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)


def rows(path: Path) -> Iterator[tuple[int, Row | BadRow]]:
    """Yield (line, row); blank lines are passed over. In a JSON list the place of a line is taken by the row's number.

    Raises UserError.
    """
    try:
        with path.open("rb") as file:
            start = file.read(3)
            file.seek(3 if start == b"\xef\xbb\xbf" else 0)
            yield from _list_rows(path, file) if _is_list(file) else _line_rows(path, file)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def checked_rows(path: Path) -> Iterator[tuple[str, Row]]:
    """Yield (place, row), where no row may be bad. Raises UserError."""
    for line, row in rows(path):
        if isinstance(row, BadRow):
            raise UserError(f"{place(path, line)}: {row}")
        yield place(path, line), row


def hub_rows(name: str, split: str, advice: str) -> list[Row]:
    """The rows of a dataset on the hub. Raises UserError in one line, which ends with the advice to use a file."""
    try:
        from datasets import load_dataset  # heavy, and not needed for a local file
    except ImportError:
        raise UserError(f"{name} needs the package datasets (pip install datasets), or {advice}") from None
    try:
        return list(load_dataset(name, split=split))
    except Exception as error:  # datasets raises many kinds for "not reachable" and "not there"
        first_line = (str(error).splitlines() or [""])[0][:160]
        raise UserError(f"cannot load {name} from the hub ({type(error).__name__}: {first_line}); {advice}") from None


def check_readable(path: Path) -> None:
    """Raises UserError for a file that cannot be opened."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def place(path: Path, line: int) -> str:
    """How errors name a row."""
    return f"{path}, line {line}"


def _is_list(file: BinaryIO) -> bool:
    """Whether the first character that is not white space opens a list."""
    start = file.tell()
    first = file.read(4096).lstrip()[:1]
    file.seek(start)
    return first == b"["


def _line_rows(path: Path, file: BinaryIO) -> Iterator[tuple[int, Row | BadRow]]:
    number, decoder = 0, _Decoder()
    while line := file.readline(MAX_ROW):
        number += 1
        if len(line) == MAX_ROW and not line.endswith(b"\n"):
            raise UserError(f"{place(path, number)}: longer than {MAX_ROW >> 20} MiB; one JSON object a line is needed")
        if line.startswith(b"version https://git-lfs"):
            raise UserError(f"{path}: is a Git LFS pointer and not the data itself; run git lfs pull")
        if line.strip():
            yield number, _parsed(line, decoder)


class _Decoder(json.JSONDecoder):
    """Python's decoder of JSON, which tells when a text has NaN or Infinity: those are not JSON."""

    def __init__(self) -> None:
        self.constants: list[str] = []  # NaN, Infinity and -Infinity, since `row_of` was last called
        super().__init__(parse_constant=self.constants.append)

    def row_of(self, value: Any) -> Row | BadRow:
        """What was decoded, if it is a row."""
        names, self.constants[:] = self.constants[:1], []
        if names:
            return BadRow("", f"not valid JSON: {names[0]} is no value of JSON, a missing number is written as null")
        return value if isinstance(value, dict) else BadRow("", f"an object is needed, not {quoted(value)}")


def _parsed(line: bytes, decoder: _Decoder) -> Row | BadRow:
    decoder.constants.clear()
    try:
        return decoder.row_of(decoder.decode(line.decode("utf-8", "surrogatepass")))
    except UnicodeDecodeError as error:
        return BadRow("", f"not UTF-8 text ({error.reason} at byte {error.start} of the line)")
    except json.JSONDecodeError as error:
        return BadRow("", f"not valid JSON: {error.msg} at character {error.pos + 1}")
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, a nest of thousands of lists
        return BadRow("", f"not readable JSON: {error}")


def _list_rows(path: Path, file: BinaryIO) -> Iterator[tuple[int, Row | BadRow]]:
    """The elements of one JSON list, each decoded as soon as it is there in full."""
    reader, decoder = io.TextIOWrapper(file, encoding="utf-8", errors="surrogatepass"), _Decoder()
    number = 0
    try:
        text = ""
        while "[" not in text:
            text += reader.read(CHUNK)
        at = text.index("[") + 1
        while True:
            at = _after(text, at, " \t\r\n,")
            if text[at : at + 1] == "]":
                break
            try:
                decoder.constants.clear()
                value, at = decoder.raw_decode(text, at)
            except json.JSONDecodeError as error:  # perhaps only cut off: read on, in doubling pieces
                more = reader.read(max(CHUNK, len(text) - at))
                if not more or len(text) - at > MAX_ROW:
                    raise UserError(f"{place(path, number + 1)}: not valid JSON: {error.msg}") from None
                text, at = text[at:] + more, 0
            else:
                number += 1
                yield number, decoder.row_of(value)
        if (text[at + 1 :] + reader.read(CHUNK)).strip():
            raise UserError(f"{path}: text follows the end of the list")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text after row {number} ({error.reason})") from None
    except RecursionError:
        raise UserError(f"{place(path, number + 1)}: nested too deeply") from None


def _after(text: str, at: int, passed: str) -> int:
    while at < len(text) and text[at] in passed:
        at += 1
    return at


# Fields of a row: typed, or a BadRow that names them.


def text_of(row: Row, *names: str) -> str:
    """The first of the named fields that is not null, as text; numbers are taken as their text. Raises BadRow."""
    for name in names:
        value = row.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return str(value)
        if value is not None:
            text_field(row, name)
            return str(value)
    raise BadRow(" or ".join(names), "text is needed, it is missing")


def field(row: Row, name: str, kind: type, at: str = "") -> Any:
    """The field of that type; `at` is the path to `row` inside its line, such as `label.steps[3].`. Raises BadRow."""
    value = row.get(name, row)
    if type(value) is not kind or value is row:  # type, not isinstance: True is no number
        what = "it is missing" if value is row else f"not {quoted(value)}"
        raise BadRow(at + name, f"{NAMES[kind]} is needed, {what}")
    return value


def text_field(row: Row, name: str, at: str = "") -> str:
    """A text that is not blank, without the white space around it. Raises BadRow."""
    value: str = field(row, name, str, at).strip()
    if not value:
        raise BadRow(at + name, "is empty")
    return value


def optional(row: Row, name: str, kind: type, at: str = "") -> Any:
    """The field of that type, or None where it is null or missing. Raises BadRow."""
    return None if row.get(name) is None else field(row, name, kind, at)


def elements(row: Row, name: str, kind: type, at: str = "") -> list[Any]:
    """A list whose elements are all of that type. Raises BadRow."""
    values: list[Any] = field(row, name, list, at)
    for i, value in enumerate(values):
        if type(value) is not kind:
            raise BadRow(f"{at}{name}[{i}]", f"{NAMES[kind]} is needed, not {quoted(value)}")
    return values


def quoted(value: Any) -> str:
    """A value in the words of an error."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."
