"""`prm/prm_table.py`: results of several PRMs in one table."""

import json

import pytest

from prm.prm_table import main


def result(folder, prm, **tables):
    folder.mkdir()
    data = {"PRM": {"name": prm, "card": {"aggregation": "min"}}, **tables}
    (folder / "result.json").write_text(json.dumps(data), encoding="utf-8")
    return str(folder)


def steps(name, auc):
    return {"name": name, "auc": auc, "auc_interval": [auc - 0.1, auc + 0.1], "ece": 0.004}


def error(name, f1, threshold="best on the other half"):
    return {"name": name, "threshold_name": threshold, "f1": f1}


def test_a_row_a_prm_with_its_figures_from_all_its_folders_and_baselines_once(tmp_path, capsys):
    names = ("a", "a, wrong question", "baseline: length")
    judged = result(
        tmp_path / "judged", "a", steps=[steps(n, 0.8) for n in names],
        first_error=[*(error(n, 0.7) for n in names), error("a", 0.1, "0.5")],
    )  # fmt: skip
    curve = [{"name": v, "budget": n, "accuracy": n / 20} for v in ("prm_min_vote", "prm_last_vote") for n in (4, 16)]
    curve[-1]["accuracy"] = 0.99  # another vote than the card's
    votes = result(tmp_path / "votes", "a", curve=curve)
    other = result(tmp_path / "other", "a", steps=[steps("baseline: length", 0.8), steps("a", 0.9)], first_error=[])
    assert main([judged, votes, f"second={other}", "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "| PRM | AUC | F1 | ECE | best of 16 |",
        "|---|---|---|---|---|",
        "| a | 80.0 [70.0, 90.0] | 70.0 | 0.004 | 80.0 |",
        "| a, wrong question | 80.0 [70.0, 90.0] | 70.0 | 0.004 | - |",
        "| second | 90.0 [80.0, 100.0] | - | 0.004 | - |",
        "| baseline: length | 80.0 [70.0, 90.0] | 70.0 | 0.004 | - |",
    ]


def test_rows_of_subsets_stand_under_the_prm(tmp_path, capsys):
    judged = result(tmp_path / "judged", "a", steps=[steps("a", 0.8)])
    subsets = result(tmp_path / "subsets", "a", steps=[steps("pb", 0.9), steps("a2", 0.7)])
    assert main([judged, subsets, "--markdown"]) == 0
    assert [x.split(" | ")[0] for x in capsys.readouterr().out.splitlines()[2:]] == ["| a", "| a, pb", "| a, a2"]


@pytest.mark.parametrize("text", (None, "{", '{"steps": []}', "[]"))
def test_what_is_no_result_is_named_in_one_line(tmp_path, capsys, text):
    if text is not None:
        (tmp_path / "result.json").write_text(text, encoding="utf-8")
    assert main([str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and str(tmp_path) in error
