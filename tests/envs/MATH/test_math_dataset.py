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


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("He has 48/2 = <<48/2=24>>24 of 96 and 24 + 48 = 72.\n#### 72", "72"),  # GSM8K
        ("so the side is $\\boxed{1.6}$ cm long.", "1.6"),
        ("Adding up gives 12, then 30. The answer is 42.", "42"),
        ("Thus $x = 3$ or $x = 4$, so \\boxed{3} and \\boxed{4}.", "3, 4"),
        ("\\frac{1}{2}", "\\frac{1}{2}"),
        ("x \\in [1, 2]", "x \\in [1, 2]"),
    ],
)
def test_golds_are_read_out_of_reference_solutions(tmp_path, reference, answer):
    (problem,) = load(write(tmp_path / "a.jsonl", {"question": "?", "answer": reference}))
    assert problem.answer == answer


@pytest.mark.parametrize("text", ["\\unheardof{2}", "First 2 + 2 = 4, and so on to 16", "#### ", "(("])
def test_a_gold_that_no_rule_reads_is_refused(tmp_path, text):
    path = write(tmp_path / "a.jsonl", ROW, {**ROW, "unique_id": "odd", "answer": text})
    with pytest.raises(UserError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}, line 2: answer: no final answer can be read from ")
    assert "\n" not in str(caught.value)


def test_one_reader_of_rows(tmp_path):
    rows = [{"problem": "a", "answer": "1", "unique_id": None}, {"problem": "b", "answer": 2.5, "unique_id": None}]
    lines, whole = tmp_path / "a.jsonl", tmp_path / "a.json"
    lines.write_text("\ufeff" + "".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    whole.write_text("\ufeff" + json.dumps(rows, indent=1), encoding="utf-8")
    assert load(lines) == load(whole)
    assert [(p.id, p.answer) for p in load(lines)] == [("MATH/0", "1"), ("MATH/1", "2.5")]


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
        (
            '{"problem": "x", "answer": "1"}\n{"problem": "x"}\n',
            "a.jsonl, line 2: final_answer or answer: text is needed, it is missing",
        ),
        ('{"answer": "1"}\n', "a.jsonl, line 1: problem or question: text is needed, it is missing"),
        ('{"problem": "x", "answer": ["1"]}\n', r'a.jsonl, line 1: answer: text is needed, not \["1"\]'),
        ('{"problem": "x", "answer": "  "}\n', "a.jsonl, line 1: answer: is empty"),
        ('\n{"problem": \n', "a.jsonl, line 2: not valid JSON"),
        ('{"problem": "x", "answer": NaN}', "a.jsonl, line 1: not valid JSON: NaN is no value of JSON"),
        ('{"problem": "x", "answer": -Infinity}', "a.jsonl, line 1: not valid JSON: -Infinity is no value"),
        ('{"problem": "x", "answer": 1e999}', "a.jsonl, line 1: answer: text is needed"),
        ("version https://git-lfs.github.com/spec/v1\n", "a.jsonl: is a Git LFS pointer"),
        ("[1]\n", "a.jsonl, line 1: an object is needed, not 1"),
        ("", "a.jsonl: holds no rows"),
        (
            json.dumps(ROW) + "\n" + json.dumps(ROW),
            "a.jsonl, line 2: id 'test/a/1.json' was already used at .*, line 1",
        ),
    ],
)
def test_defects_name_file_line_and_field(tmp_path, text, message):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_missing_binary_or_wrong_files(tmp_path):
    with pytest.raises(UserError, match=r"none\.jsonl: cannot be read: No such file"):
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
