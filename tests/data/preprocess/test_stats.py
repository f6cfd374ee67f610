"""Statistics of process data, and leakage between training and test questions."""

import json

import pytest

from data.preprocess import cli, stats
from tests.data.preprocess.samples import PRM800K, QUESTION, TREE, write


def report(capsys, *arguments):
    assert stats.main([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def common(tmp_path, capsys):
    path = write(tmp_path / "rows.jsonl", [PRM800K])
    assert cli.main(["prm800k", str(path)]) == 0
    capsys.readouterr()
    return tmp_path / "rows.new.jsonl"


def test_counts(common, capsys):
    found = report(capsys, common)
    assert found == {
        "solutions": 5,
        "by_source": {"prm800k": 5},
        "questions": 1,
        "steps": 13,
        "labels": {"right": 9, "wrong": 2, "share_right": 0.8182},
        "labels_of_distinct_steps": {"right": 3, "wrong": 2, "share_right": 0.6},
        "steps_without_a_label": 2,
        "solutions_with_an_error": 2,
        "steps_a_solution": {"p50": 3, "p95": 3, "p100": 3},
        "characters_a_step": {"p50": 13, "p95": 26, "p100": 26},
        "mc_values": None,
        "repeated_solutions": 0,
        "repeated_with_other_labels": 0,
    }


def test_files_are_counted_together_and_repeats_are_found(common, tmp_path, capsys):
    other = tmp_path / "other.jsonl"
    lines = common.read_text().splitlines()
    changed = json.loads(lines[0]) | {"labels": [1, 0, 1], "question": QUESTION.lower()}
    other.write_text(lines[1] + "\n" + json.dumps(changed) + "\n")
    found = report(capsys, common, other)
    assert (found["solutions"], found["questions"]) == (7, 1)
    assert (found["repeated_solutions"], found["repeated_with_other_labels"]) == (2, 1)


def test_mc_values_and_openrs_form(tmp_path, capsys):
    path = write(tmp_path / "rows.jsonl", [TREE])
    assert cli.main(["math-aps-tree", str(path)]) == cli.main(["math-aps-tree", str(path), "--openr", "-t", "ки"]) == 0
    capsys.readouterr()
    common = report(capsys, tmp_path / "rows.new.jsonl")
    flat = report(capsys, tmp_path / "rows.new.json", "-t", r"\u043a\u0438")
    assert common["mc_values"] == {"0": 1, "between": 2, "1": 2}
    assert common | {"by_source": 0, "mc_values": None} == flat | {"by_source": 0}


@pytest.mark.parametrize(
    ("question", "same"),
    [
        ("what is  2+3*4", True),
        ("What is $2 + 3 * 4$?", True),
        (r"What is \(2 +\, 3 * 4\)?", True),
        ("What is 2 + 3 * 5?", False),
        ("What is 2 - 3 * 4?", False),
    ],
)
def test_leakage_by_normalised_question(common, tmp_path, capsys, question, same):
    test = write(tmp_path / "test.jsonl", [{"problem": question}, {"question": "Another?"}, {"problem": question}])
    found = report(capsys, common, "--against", test)["against"]
    assert (found["questions"], found["also_in_files"], found["share"]) == (2, int(same), same / 2)
    assert found["first"] == ([f"{test}, line 1: {question!r}"] if same else [])


def test_normalised_questions():
    assert stats.normalised(r"Find $\dfrac{1}{2}\left( x \right)$.") == stats.normalised(r"find \frac{1}{2} (x)")
    assert stats.normalised("Ｆｉｎｄ ２") == "find2"
    assert stats.normalised("f(x) = -x") != stats.normalised("f(x) = x")


def test_the_text_report(common, capsys):
    assert stats.main([str(common), "--against", str(common)]) == 0
    text = capsys.readouterr().out
    assert "labels                       right 9, wrong 2, share_right 0.8182\n" in text
    assert "against                      questions 1, also_in_files 1, share 1.0\n" in text
    assert f"  {common}, line 1: {QUESTION!r}\n" in text


def test_a_raw_file_is_refused(tmp_path, capsys):
    path = write(tmp_path / "rows.jsonl", [PRM800K])
    assert stats.main([str(path)]) == 2
    assert capsys.readouterr().err == (
        f"stats.py: {path}, line 1: "
        "neither `steps` (common format) nor `process` (OpenR's) is there; convert it first\n"
    )
