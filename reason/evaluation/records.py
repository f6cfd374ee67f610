"""A run's folder on disk: config.json, record.jsonl (one flushed line a finished question), avg_result.json.

A folder is written by one process at a time (a lock on config.json). A killed run loses at most the line
it was writing; `resume` drops that line and those of questions that failed, and goes on in the same folder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from reason.common.errors import UserError
from reason.common.files import json_line, locked, read_json, whole_file, whole_lines, write_json
from reason.guided_search.flags import own_options

CONFIG, RECORDS, AVERAGES = "config.json", "record.jsonl", "avg_result.json"
# arguments that may differ on resume
FREE = {"num_worker", "local", "controller_addr", "request_timeout", "save_dir", "resume_dir", "allow_errors"}

PARTS = ("arguments", "method_config", "gen_config", "dataset", "cards")  # of config.json, that make a run what it is

Record = dict[str, Any]


class Finished(NamedTuple):
    """What the end of a run needs of a finished question; its texts stay on disk."""

    id: str
    result: dict[str, float] | None  # None: failed
    ledger: dict[str, Any]
    error: dict[str, str] | None
    level: str | None
    undecided: int  # answers that the grader could not decide on
    elapsed: float  # seconds from the run's start to this record, summed over resumptions


def summary(record: Record) -> Finished:
    """The part of a record that is kept in memory."""
    return Finished(*(record[name] for name in Finished._fields))


class RunFolder:
    """An open run folder; `append` writes one record."""

    def __init__(self, path: Path, finished: list[Finished], lock: TextIO) -> None:
        self.path, self.finished, self._lock = path, finished, lock
        self._file = open(path / RECORDS, "ab")

    def append(self, record: Record) -> None:
        """Write one line and hand it to the system, so that a kill loses no finished question."""
        try:
            self._file.write(json_line(record))
            self._file.flush()
        except OSError as error:
            raise UserError(f"{self.path / RECORDS}: cannot be written: {error.strerror}") from None
        self.finished.append(summary(record))

    def write_averages(self, averages: Record) -> None:
        """avg_result.json, OpenR's shape: a list with one element."""
        write_json(self.path / AVERAGES, [averages])

    def close(self) -> None:
        """Close the file and free the lock."""
        self._file.close()
        self._lock.close()


def create(save_dir: Path, task: str, method: str, config: Record) -> RunFolder:
    """A new folder `<save_dir>/<task>/<method>/<YYYYmmdd_HHMMSS>`, with `_2`, `_3`... where the second is taken."""
    parent = save_dir / task / method
    stamp = time.strftime("%Y%m%d_%H%M%S")
    number = 1
    try:
        parent.mkdir(parents=True, exist_ok=True)
        while True:
            path = parent / (stamp if number == 1 else f"{stamp}_{number}")
            try:
                path.mkdir()
                break
            except FileExistsError:
                number += 1
        write_json(path / CONFIG, config)
        return RunFolder(path, [], locked(path / CONFIG))
    except OSError as error:
        raise UserError(f"--save_dir {save_dir}: {error.strerror}: {error.filename}") from None


def resume(path: Path, config: Record) -> RunFolder:
    """Open an older run's folder; refuses another configuration, and a folder that another process writes."""
    if not (path / CONFIG).is_file():
        raise UserError(f"--resume_dir {path}: not a run folder, it has no {CONFIG}")
    difference = first_difference(with_newer_options(read_config(path), config), config)
    if difference:
        raise UserError(f"--resume_dir {path}: {difference}; give the run's own value, or start a new run")
    lock = locked(path / CONFIG)
    records = [record for record in read_records(path) if record["error"] is None]
    with whole_file(path / RECORDS) as file:
        file.writelines(map(json_line, records))
    return RunFolder(path, [summary(record) for record in records], lock)


def with_newer_options(old: Record, new: Record) -> Record:
    """An older run's configuration, with the defaults of methods' options that there were not when it was started."""

    def filled(part: str) -> Record:
        defaults = own_options()
        stated: Record = old.get(part, {})
        return {name: defaults[name] for name in new[part] if name in defaults} | stated

    return old | {part: filled(part) for part in ("arguments", "method_config")}


def read_config(path: Path) -> Record:
    """config.json of a run folder. Raises UserError."""
    config: Record = read_json(path / CONFIG)
    return config


def read_records(path: Path) -> list[Record]:
    """The records of a run folder, also of a run that goes on or was killed: a torn last line is left out."""
    records = []
    for number, _, line in whole_lines(path / RECORDS):
        try:
            record = json.loads(line)
            summary(record)
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path / RECORDS}, line {number}: not a record of this project") from None
        records.append(record)
    return records


def read_averages(path: Path) -> Record:
    """The element of avg_result.json; raises UserError when the run has not ended."""
    averages: list[Record] = read_json(path / AVERAGES)
    return averages[0]


def first_difference(
    old: Record, new: Record, free: Collection[str] = FREE, parts: Sequence[str] = PARTS
) -> str | None:
    """The first argument, or field of the other `parts` of a configuration, that differs, as a sentence.

    What is named in `free` may differ. A field that one of two versions does not know is off there.
    """
    for part in parts:
        before, now = old.get(part, {}), new[part]
        for name in sorted(set(before) | set(now)):
            if name not in free and _differs(before, now, name):
                label = f"--{name}" if part == "arguments" else f"{part} {name}"
                return f"{label} was {_short(before.get(name))} and is {_short(now.get(name))}"
    return None


def _differs(before: Record, now: Record, name: str) -> bool:
    if name not in before or name not in now:
        return bool(before.get(name, now.get(name)))
    old, new = before[name], now[name]
    if isinstance(old, dict) and isinstance(new, dict):
        return any(_differs(old, new, key) for key in old.keys() | new.keys())
    return bool(old != new)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."
