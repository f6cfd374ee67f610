"""Training files: both formats, and what is no row of either."""

import json

import pytest

from prm.benchmarks.cases import Skips
from prm.training.rows import read_files
from reason.common.errors import UserError
from tests.prm.training.conftest import write

GOOD = {"question": "1 + 2", "steps": ["1 + 2 = 3"], "labels": [1]}
TAG = "\n\n\n\n\n"


def read(path, tags=("",), allowed=False):
    skips = Skips(allowed)
    return read_files([path], tags, skips), skips


def test_openr_and_common_rows_are_the_same_solution(tmp_path):
    common = write(tmp_path / "a.jsonl", [{"question": "q", "steps": ["a", "b"], "labels": [1, 0]}])
    flat = tmp_path / "b.json"
    flat.write_text(json.dumps([{"question": "q", "process": f"a {TAG} b {TAG}", "label": ["+", 0]}]))
    tagged = tmp_path / "c.json"
    tagged.write_text(json.dumps([{"question": "q", "process": "a ки b ки", "label": ["+", "-"]}]))
    found = [read(path, tags)[0] for path, tags in ((common, [""]), (flat, [""]), (tagged, ["ки"]))]
    assert {(c.question, c.steps, c.labels) for (c,) in found} == {("q", ("a", "b"), (1, 0))}


def test_values_are_those_of_the_completions(tmp_path):
    row = {"question": "q", "steps": ["a", "b", "c"], "labels": [1, 1, 0], "c": [3, None, 0], "k": [4, None, 8]}
    assert read(write(tmp_path / "a.jsonl", [row]))[0][0].values == (0.75, None, 0.0)


BAD = {
    "fewer labels": ({"question": "q", "steps": ["a", "b"], "labels": [1]}, "1 for 2 steps"),
    "more labels": ({"question": "q", "steps": ["a"], "labels": [1, 1]}, "2 for 1 steps"),
    "unknown label": ({"question": "q", "steps": ["a"], "labels": [2]}, "labels"),
    "label in words": ({"question": "q", "steps": ["a"], "labels": ["good"]}, r"labels\[0\]"),
    "no steps": ({"question": "q", "steps": [], "labels": []}, "labels"),
    "an empty step": ({"question": "q", "steps": ["a", " "], "labels": [1, 1]}, r"steps\[1\]"),
    "a value above 1": ({"question": "q", "steps": ["a"], "labels": [1], "values": [1.5]}, r"values\[0\]"),
    "more right than all": ({"question": "q", "steps": ["a"], "labels": [1], "c": [3], "k": [2]}, r"c\[0\]"),
    "an empty process": ({"question": "q", "process": " ", "label": []}, "process: is empty"),
    "fewer tags": ({"question": "q", "process": f"a {TAG} b", "label": ["+", "-"]}, "1 step tags"),
    "more tags": ({"question": "q", "process": f"a {TAG} b {TAG}", "label": ["+"]}, "2 step tags"),
    "an unknown sign": ({"question": "q", "process": f"a {TAG}", "label": ["good"]}, r"label\[0\]"),
    "an empty step between tags": ({"question": "q", "process": f"a {TAG} {TAG}", "label": ["+", "+"]}, "step 2"),
    "another format": ({"input": "q Step 1: a ки", "label": "q Step 1: a +"}, "data/preprocess/cli.py"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_row_is_named_with_file_and_line_or_skipped_and_counted(tmp_path, name):
    row, message = BAD[name]
    path = write(tmp_path / "rows.jsonl", [GOOD, row, GOOD])
    with pytest.raises(UserError, match=rf"rows\.jsonl, line 2: .*{message}.*--skip_bad_rows"):
        read(path)
    cases, skips = read(path, allowed=True)
    assert len(cases) == 2
    assert len(skips.messages) == 1 and "line 2" in skips.messages[0]


def test_a_file_of_bad_rows_is_another_format(tmp_path):
    path = write(tmp_path / "rows.jsonl", [{"text": "x"}] * 3)
    with pytest.raises(UserError, match=r"rows\.jsonl: all 3 rows are bad, is it another format"):
        read(path, allowed=True)
