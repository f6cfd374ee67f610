"""A labelling run on disk: config.json and journal.jsonl, one flushed line for each finished question.

A folder is written by one process at a time (a lock on config.json). The same command goes on where a killed run
stopped: a torn last line is dropped, finished questions are left out, failed ones are tried again. The lines of failed
tries stay, so the journal holds all that was spent; the last line of a question counts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.omegaprm.labeller import ERROR
from data.omegaprm.output import LabelRecord
from reason.common.errors import UserError
from reason.common.files import json_line, locked, read_json, whole_lines, write_json
from reason.evaluation.records import first_difference

CONFIG, JOURNAL = "config.json", "journal.jsonl"
PARTS = ("options", "dataset", "models", "shard")  # of config.json, that make a run what it is


class Journal:
    """An open run folder; made when it is not there. Raises UserError, also for a run of another configuration."""

    def __init__(self, folder: Path, config: LabelRecord) -> None:
        self.folder, config = folder, json.loads(json.dumps(config))
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / CONFIG).exists():
                write_json(folder / CONFIG, config)
            self._lock = locked(folder / CONFIG)
        except OSError as error:
            raise UserError(f"--output_dir {folder}: {error.strerror}: {error.filename}") from None
        refuse_difference(folder, read_json(folder / CONFIG), config)
        self.statuses: dict[str, str] = {}  # of questions that are done, failed ones left out
        end = 0
        for place, record in read_journal(folder):
            end = place[1]
            self.statuses[record["question_id"]] = record["status"]
        self.statuses = {name: status for name, status in self.statuses.items() if status != ERROR}
        self._file = open(folder / JOURNAL, "ab")
        self._file.truncate(end)  # a torn line

    def append(self, record: LabelRecord) -> None:
        """Write one line and hand it to the system, so that a kill loses no finished question. Raises UserError."""
        try:
            self._file.write(json_line(record))
            self._file.flush()
        except OSError as error:
            advice = "free some space and give the same command again, finished questions are kept"
            raise UserError(f"{self.folder / JOURNAL}: cannot be written: {error.strerror}; {advice}") from None

    def close(self) -> None:
        """Close the file and free the lock. What a full disk refused is dropped again by the next run."""
        try:
            self._file.close()
        except OSError:
            pass  # `append` said so already
        self._lock.close()


def read_journal(folder: Path) -> Iterator[tuple[tuple[int, int], LabelRecord]]:
    """((first byte, end), record) of each whole line; a torn last line is left out. Raises UserError."""
    path = folder / JOURNAL
    for number, end, line in whole_lines(path) if path.exists() else ():
        try:
            record = json.loads(line)
            record["question_id"], record["index"], record["status"]
        except (ValueError, KeyError, TypeError):
            raise UserError(f"{path}, line {number}: not a record of a labelling run") from None
        yield (end - len(line), end), record


def refuse_difference(folder: Path, old: LabelRecord, new: LabelRecord, parts: Sequence[str] = PARTS) -> None:
    """Raise UserError that names the first setting on which two configurations differ."""
    difference = first_difference(old, new, free=(), parts=parts)
    if difference:
        raise UserError(f"{folder}: {difference}; give the run's own value, or another --output_dir")
