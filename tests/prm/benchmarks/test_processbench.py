"""`python prm/evaluate.py processbench` on files, with a served PRM."""

import json

import pytest

from prm.benchmarks import processbench
from tests.prm.benchmarks.conftest import PROBLEMS, by_name, evaluate, processbench_rows, result_of, write


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("processbench")
    rows = processbench_rows(per_problem=2)
    write(path / "gsm8k.jsonl", rows[:20])
    (path / "math.json").write_text(json.dumps(rows[20:40]))
    return path


@pytest.fixture
def run(controller, tmp_path):
    def call(*words):
        return evaluate(
            "processbench", "--RM", "prm", "--controller_addr", controller, "--out", tmp_path / "out", *words
        )

    return call


def test_a_prm_that_knows_the_truth(run, folder, tmp_path, capsys):
    assert run("--data_path", folder, "--threshold", "mine=0.01", "--threshold", "0.89") == 0
    result = result_of(tmp_path / "out")
    names = ["best on gsm8k", "0.5", "mine", "own 0.89"]
    assert [row["threshold_name"] for row in result["first_error"]] == [name for name in names for _ in range(3)]
    for name in names[:2]:
        assert by_name(result["first_error"], name="average", threshold_name=name)["f1"] == 1
    mine = by_name(result["first_error"], name="math", threshold_name="mine")
    assert (mine["first_error_accuracy"], mine["right_accuracy"], mine["f1"]) == (0, 1, 0)
    assert [row["auc"] for row in result["steps"]] == [1, 1]
    assert len((tmp_path / "out" / "scores.jsonl").read_text().splitlines()) == 40
    printed = capsys.readouterr().out
    assert "100.0 [100.0, 100.0]" in printed and printed.splitlines()[0] == "processbench: prm"
    for name in ("f1_by_threshold", "reliability"):
        assert all((tmp_path / "out" / f"{name}.{kind}").stat().st_size > 1000 for kind in ("png", "svg"))


def test_a_subset_of_the_files_and_no_published_threshold(run, folder, tmp_path):
    assert run("--data_path", folder, "--subsets", "math", "--limit", 10) == 0
    result = result_of(tmp_path / "out")
    assert [(row["name"], row["threshold_name"]) for row in result["first_error"]] == [("math", "0.5")]
    assert result["data"][0]["solutions"] == 10 and len(result["notes"]) == 2


def test_a_row_that_the_prm_gives_too_few_scores_for(run, tmp_path, capsys):
    rows = processbench_rows(per_problem=1, problems=PROBLEMS[-4:])
    path = write(tmp_path / "mine.jsonl", rows)
    assert run("--data_path", path) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert f"{path}, line 4: the reward model gave" in err and "scores for" in err
    assert not (tmp_path / "out").exists()
    assert run("--data_path", path, "--skip_bad_rows") == 0
    result = result_of(tmp_path / "out")
    assert result["data"][0]["solutions"] == 3 and len(result["skipped"]) == 1
    assert "1 rows were skipped" in capsys.readouterr().out


@pytest.mark.parametrize("text, message", [
    ("", "holds no rows"),
    ("{nonsense\n", "line 1: not valid JSON"),
    ('{"question": "1 + 1", "process": "x", "label": ["+"]}\n', "line 1: steps: a list is needed, it is missing"),
    ('{"id": "a", "problem": "p", "steps": ["x"], "label": 1}\n', "line 1: label: is 1, and there are 1 steps"),
    ('\n{"id": "b", "problem": "p", "steps": [], "label": -1}\n', "line 2: steps: is empty"),
])  # fmt: skip
def test_bad_files_are_one_line(run, tmp_path, capsys, text, message):
    path = tmp_path / "gsm8k.jsonl"
    path.write_text(text)
    assert run("--data_path", path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"evaluate.py: {path}") and message in line


def test_bad_arguments_are_one_line(run, folder, controller, tmp_path, capsys):
    for words, message in [
        (["--data_path", folder, "--subsets", "gsm9k"], "no subset 'gsm9k'"),
        (["--data_path", folder, "--threshold", "0.5"], None),
        (["--data_path", folder, "--threshold", "a=0.1", "--threshold", "a=0.2"], "two thresholds have one name"),
        (["--data_path", folder, folder / "math.json"], "are both subset 'math'"),
        (["--data_path", tmp_path], "holds none of gsm8k.json(l)"),
        (["--data_path", tmp_path / "none.jsonl"], "cannot be read"),
        (["--data_path", folder, "--RM", "nobody"], "'nobody'"),
        (["--data_path", folder, "--RM", "oracle"], "has no oracle"),
        (["--data_path", folder, "--card", "math-psa"], "--card is of a model that is loaded here"),
        (["--subsets", "nine"], "there are: gsm8k, math, olympiadbench, omnimath"),
    ]:
        status = run(*words)
        lines = capsys.readouterr().err.splitlines()
        if message is None:
            assert status == 0
        else:
            assert status == 2 and message in lines[-1], lines
    for words in (["--threshold", "high"], ["--limit", "0"]):
        with pytest.raises(SystemExit) as error:
            run("--data_path", folder, *words)
        assert error.value.code == 2 and len(capsys.readouterr().err.splitlines()) == 1


def test_the_hub_away_is_one_line(run, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    assert run() == 2
    assert "needs the package datasets" in capsys.readouterr().err


def test_rows_of_the_hub(run, tmp_path, monkeypatch):
    rows = processbench_rows(per_problem=1)
    monkeypatch.setattr(processbench, "hub_rows", lambda hub, name, advice: rows[:8] if name == "gsm8k" else rows[8:16])
    assert run() == 0
    assert [d["name"] for d in result_of(tmp_path / "out")["data"]] == list(processbench.SUBSETS)
