"""Files of rows: JSONL and JSON lists of any size, and what is wrong with those that cannot be read."""

import json

import pytest

from data.preprocess import rows as module
from data.preprocess.rows import BadRow, rows
from reason.common.errors import UserError

ROWS = [{"n": i, "text": "ки\n" * (i % 7), "deep": {"list": [1, "]", "}"]}} for i in range(50)]


def read(path):
    return [row for _, row in rows(path)]


@pytest.mark.parametrize("chunk", [1, 3, 64, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_list_is_read_at_any_chunk_size(tmp_path, monkeypatch, chunk, indent):
    monkeypatch.setattr(module, "CHUNK", chunk)
    path = tmp_path / "list.json"
    path.write_text("\n " + json.dumps(ROWS, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read(path) == ROWS


def test_lines_and_their_numbers(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\ufeff" + json.dumps(ROWS[0]) + "\n\n" + json.dumps(ROWS[1], ensure_ascii=False), encoding="utf-8")
    assert list(rows(path)) == [(1, ROWS[0]), (3, ROWS[1])]


@pytest.mark.parametrize("text", ["[]", " [ ] ", "", "\n\n"])
def test_nothing_is_no_row(tmp_path, text):
    path = tmp_path / "empty"
    path.write_text(text)
    assert read(path) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"a": 1', "not valid JSON: "),
        (b"[1]", "an object is needed, not [1]"),
        (b'{"a": "\xff"}', "not UTF-8 text (invalid start byte at byte 7 of the line)"),
        (b'{"a": ' + b"[" * 100_000, "not readable JSON: "),
        (b'{"a": ' + b"9" * 5000 + b"}", "not readable JSON: "),
    ],
)
def test_a_bad_line_comes_in_its_place(tmp_path, line, message):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": 1}\n' + line + b'\n{"a": 3}\n')
    found = list(rows(path))
    assert [number for number, _ in found] == [1, 2, 3]
    assert isinstance(found[1][1], BadRow) and str(found[1][1]).startswith(message)
    assert found[2][1] == {"a": 3}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'[{"a": 1}, {"a": ]', ", line 2: not valid JSON: Expecting value"),
        (b'[{"a": 1}, {"a": 2}', ", line 3: not valid JSON: Expecting value"),
        (b'[{"a": 1}] {"a": 2}', ": text follows the end of the list"),
        (b'[{"a": "\xff"}]', ": not UTF-8 text after row 0 (invalid start byte)"),
        (b"[" * 100_000, ", line 1: nested too deeply"),
        (b"version https://git-lfs.github.com/spec/v1\n",
         ": is a Git LFS pointer and not the data itself; run git lfs pull"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_read_to_its_end(tmp_path, data, message):
    path = tmp_path / "rows.json"
    path.write_bytes(data)
    with pytest.raises(UserError) as raised:
        read(path)
    assert str(raised.value) == f"{path}{message}"


def test_an_endless_line(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "MAX_ROW", 1 << 20)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": "' + b"x" * (1 << 20) + b'"}\n')
    with pytest.raises(UserError, match="line 1: longer than 1 MiB; one JSON object a line is needed"):
        read(path)


def test_missing_file_and_folder(tmp_path):
    for path, why in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        with pytest.raises(UserError) as raised:
            read(path)
        assert str(raised.value) == f"{path}: cannot be read: {why}"
