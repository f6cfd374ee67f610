"""Files of rows: JSONL and JSON lists of any size, and what is wrong with those that cannot be read."""

import json

import pytest

from reason.common import rows as module
from reason.common.errors import UserError
from reason.common.rows import BadRow, checked_rows, rows, text_of

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
        (b'{"a": [1, NaN]}', "not valid JSON: NaN is no value of JSON, a missing number is written as null"),
        (b'{"a": -Infinity}', "not valid JSON: -Infinity is no value of JSON"),
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


def test_nan_in_a_list_spoils_its_row_alone(tmp_path):
    path = tmp_path / "list.json"
    path.write_text('[{"a": 1}, {"a": NaN}, {"a": 3}]')
    found = read(path)
    assert found[0] == {"a": 1} and isinstance(found[1], BadRow) and found[2] == {"a": 3}


def test_rows_of_which_none_may_be_bad(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('\n{"a": 1}\n{"a": \n')
    checked = checked_rows(path)
    assert next(checked) == (f"{path}, line 2", {"a": 1})
    with pytest.raises(UserError, match="line 3: not valid JSON"):
        next(checked)


@pytest.mark.parametrize(
    ("row", "text"),
    [({"a": " x "}, " x "), ({"a": None, "b": 2}, "2"), ({"b": 0.5}, "0.5"), ({"a": "", "b": "y"}, None), ({}, None),
     ({"a": True}, None), ({"a": 1e999}, None), ({"a": [1]}, None)],
)  # fmt: skip
def test_the_first_field_as_text(row, text):
    if text is not None:
        assert text_of(row, "a", "b") == text
    else:
        with pytest.raises(BadRow, match=r"^a"):
            text_of(row, "a", "b")


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
