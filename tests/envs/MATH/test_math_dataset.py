"""Loading MATH: rows of several shapes, and one clear line for every defect."""

import json
import sys

import pytest

from envs.base_env import DataOptions
from envs.MATH import TASK
from reason.common.errors import UserError

ROW = {"problem": "What is $1+1$?", "solution": "$\\boxed{2}$", "answer": "2", "level": 1, "unique_id": "test/a/1.json"}


def load(path, **options):
    return TASK.problems(DataOptions(data_path=path, **options))


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_of_math_and_of_openr(tmp_path):
    path = write(tmp_path / "a.jsonl", ROW, {"question": "Half of one?", "answer": 0.5})
    first, second = load(path)
    assert (first.id, first.answer, first.level, first.solution) == ("test/a/1.json", "2", "1", "$\\boxed{2}$")
    assert (second.id, second.question, second.answer) == ("MATH/1", "Half of one?", "0.5")
    assert "\\boxed{}" in TASK.prompt(first) and first.question in TASK.prompt(first)


def test_a_gold_that_does_not_parse_is_reported(tmp_path, caplog):
    load(write(tmp_path / "a.jsonl", ROW, {**ROW, "unique_id": "odd", "answer": "\\unheardof{2}"}))
    assert [record.getMessage() for record in caplog.records if "cannot be parsed" in record.getMessage()] == [
        "gold answer of odd cannot be parsed (unknown command \\unheardof): '\\\\unheardof{2}'"
    ]


def test_options(tmp_path):
    rows = [{**ROW, "unique_id": str(i), "level": i % 5 + 1} for i in range(20)]
    path = write(tmp_path / "a.jsonl", *rows)
    assert [p.id for p in load(path, limit=3)] == ["0", "1", "2"]
    assert {p.level for p in load(path, level="4")} == {"4"}
    assert sorted(p.id for p in load(path, shuffle_seed=1)) == sorted(p.id for p in load(path))
    assert load(path, shuffle_seed=1) == load(path, shuffle_seed=1) != load(path)


@pytest.mark.parametrize(
    "text, message",
    [
        ('{"problem": "x", "answer": "1"}\n{"problem": "x"}\n', r"a.jsonl:2: field 'answer' is missing"),
        ('{"answer": "1"}\n', r"a.jsonl:1: field 'problem' or 'question' is missing"),
        ('{"problem": "x", "answer": ["1"]}\n', r"a.jsonl:1: field 'answer' must be non-empty text"),
        ('{"problem": "x", "answer": "  "}\n', r"a.jsonl:1: field 'answer' must be non-empty text"),
        ('\n{"problem": \n', r"a.jsonl:2: not a JSON object"),
        ("[1]\n", r"a.jsonl:1: a JSON object is expected, not list"),
        ("", r"a.jsonl holds no rows"),
        (json.dumps(ROW) + "\n" + json.dumps(ROW), r"a.jsonl:2: id 'test/a/1.json' was already used at .*:1"),
    ],
)
def test_defects_name_file_line_and_field(tmp_path, text, message):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_missing_binary_or_wrong_files(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*none.jsonl: No such file"):
        load(tmp_path / "none.jsonl")
    (tmp_path / "b.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        load(tmp_path / "b.jsonl")
    path = write(tmp_path / "a.jsonl", ROW)
    with pytest.raises(UserError, match="no problem of level '9'; the levels there are: 1"):
        load(path, level="9")
    with pytest.raises(UserError, match="limit 0 is below 1"):
        load(path, limit=0)


def test_an_unreachable_hub_is_one_line(monkeypatch):
    class Hub:
        @staticmethod
        def load_dataset(name, split):
            raise ConnectionError("Couldn't reach it\nand more lines")

    monkeypatch.setitem(sys.modules, "datasets", Hub)
    with pytest.raises(UserError, match=r"cannot load HuggingFaceH4/MATH-500.*--data_path") as caught:
        TASK.problems(DataOptions())
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="split 'test', not 'train'"):
        TASK.problems(DataOptions(split="train"))
