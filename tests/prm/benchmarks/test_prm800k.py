"""`python prm/evaluate.py prm800k` on the common format, with a PRM in this process."""

import json

import pytest

from prm.scoring.scorer import Scorer
from tests.prm.benchmarks.conftest import evaluate, result_of, solutions, write
from tests.prm.tiny import CARD, save_prm


@pytest.fixture(scope="session")
def prm_folder(tmp_path_factory):
    return save_prm(tmp_path_factory.mktemp("random-prm"))


def common_rows(count):
    found = []
    for problem, steps, error in list(solutions(per_problem=2))[:count]:
        labels = [int(error < 0 or i < error) for i in range(len(steps))]
        found.append({"question": problem.question, "steps": [s.strip() for s in steps], "labels": labels})
    return found


@pytest.mark.parametrize("num_worker", [1, 64])
def test_the_scores_are_the_scorers_own(prm_folder, tmp_path, num_worker):
    rows = common_rows(12)
    path = write(tmp_path / "steps.jsonl", rows)
    words = ["--model_path", prm_folder, "--device", "cpu", "--num_worker", num_worker, "--out", tmp_path / "out"]
    assert evaluate("prm800k", "--data_path", path, *words) == 0
    lines = [json.loads(line) for line in (tmp_path / "out" / "scores.jsonl").read_text().splitlines()]
    assert [line["place"] for line in lines] == [f"{path}, line {n}" for n in range(1, 13)]
    direct = Scorer.load(str(prm_folder), CARD, device="cpu").score([(row["question"], row["steps"]) for row in rows])
    for line, scores in zip(lines, direct, strict=True):
        assert line["scores"] == pytest.approx(scores, abs=1e-4)
    result = result_of(tmp_path / "out")
    (row,) = result["steps"]
    assert row["name"] == "steps" and 0 <= row["auc_interval"][0] <= row["auc"] <= row["auc_interval"][1] <= 1
    assert 0 <= row["ece"] <= 1 and result["PRM"]["card"]["name"] == CARD.name
    assert (tmp_path / "out" / "scores.png").exists() and (tmp_path / "out" / "reliability.svg").exists()


def test_a_solution_too_long_for_the_prm_is_named(prm_folder, tmp_path, capsys):
    rows = [*common_rows(2), {"question": "1 + 1", "steps": ["1 + 1 = 2; " + "9" * 5000], "labels": [1]}]
    path = write(tmp_path / "steps.jsonl", rows)
    words = ["--model_path", prm_folder, "--device", "cpu", "--data_path", path, "--out", tmp_path / "out"]
    assert evaluate("prm800k", *words) == 2
    assert f"{path}, line 3: the input is" in capsys.readouterr().err.splitlines()[-1]
    assert evaluate("prm800k", *words, "--skip_bad_rows") == 0
    assert len(result_of(tmp_path / "out")["skipped"]) == 1


@pytest.mark.parametrize("row, message", [
    ({"question": {"problem": "p"}, "label": {"steps": []}}, "convert"),
    ({"question": "q", "steps": ["a", "b"], "labels": [1]}, "labels: one a step is needed"),
    ({"question": "q", "steps": ["a"], "labels": [2]}, "1, 0 and -1 are labels"),
    ({"question": "q", "steps": [" "], "labels": [1]}, "steps[0].step: is empty"),
    ({"question": "q", "steps": ["a"], "labels": [1], "values": [7]}, "values[0]: a number from 0 to 1"),
])  # fmt: skip
def test_bad_rows_are_one_line(tmp_path, capsys, row, message):
    path = write(tmp_path / "steps.jsonl", [*common_rows(1), row])
    assert evaluate("prm800k", "--data_path", path, "--RM", "x", "--out", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"evaluate.py: {path}, line 2: ") and message in line


def test_a_file_without_labels_is_refused(tmp_path, capsys):
    path = write(tmp_path / "steps.jsonl", [{"question": "q", "steps": ["a"], "labels": [-1]}])
    assert evaluate("prm800k", "--data_path", path, "--RM", "x", "--out", tmp_path / "out") == 2
    assert "holds no labelled steps" in capsys.readouterr().err


def test_a_model_that_is_not_there_is_one_line(tmp_path, capsys):
    path = write(tmp_path / "steps.jsonl", common_rows(1))
    words = ["--model_path", tmp_path / "none", "--card", "openr-tiny-prm", "--out", tmp_path / "out"]
    assert evaluate("prm800k", "--data_path", path, *words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "there is no folder" in line
    assert evaluate("prm800k", "--data_path", path, "--model_path", tmp_path / "none", "--out", tmp_path) == 2
    assert "there is no folder" in capsys.readouterr().err
