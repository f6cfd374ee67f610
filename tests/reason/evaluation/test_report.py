"""The scaling report: table, notes, curves, bad input."""

import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest

from reason.evaluation import curves, report
from reason.evaluation.runs import pool, read
from reason.guided_search import METHODS
from tests.cli import call
from tests.fakes import ROOT
from tests.reason.evaluation.runs import make_run, solution

OUTPUTS = [solution("7", True, 0.6), solution("2", False, 0.5), solution("7", True, 0.4), solution(None, None, 0.9)]


def reported(tmp_path, *words):
    """The rows and notes of table.json."""
    assert report.main([*map(str, words), "--out", str(tmp_path / "out")]) == 0
    data = json.loads((tmp_path / "out" / "table.json").read_text())
    return data["rows"], data["notes"]


@pytest.fixture
def runs(tmp_path):
    """Greedy, best-of-4, and beam search at two budgets, 20 questions each."""
    found = [
        make_run(tmp_path, "cot", None, [1] * 8 + [0] * 12, rm=None),
        make_run(tmp_path, "best_of_n", 4, [1] * 14 + [0] * 6, outputs=OUTPUTS),
    ]
    return found + [make_run(tmp_path, "beam_search", n, [1] * (9 + n) + [0] * (11 - n)) for n in (1, 4)]


def test_table_and_curves_from_the_command_line(tmp_path, runs):
    out = tmp_path / "out"
    done = call(*runs, "--out", out, module="reason.evaluation.report")
    assert done.returncode == 0, done.stderr
    rows = json.loads((out / "table.json").read_text())["rows"]
    assert [(r["method"], r["budget"], r["subsampled_from"]) for r in rows] == [
        ("cot", None, None), ("beam_search", 1, None), ("beam_search", 4, None), ("best_of_n", 1, 4),
        ("best_of_n", 2, 4), ("best_of_n", 4, None),
    ]  # fmt: skip
    beam = rows[2]
    mean, low, high = beam["headline"]
    assert mean == pytest.approx(13 / 20) and low < mean < high
    assert (beam["lm_tokens"], beam["prm_tokens"], beam["all_tokens"], beam["seconds"]) == (40, 20, 60, 0.5)
    assert (beam["problems"], beam["errors"]) == (20, 0)
    assert "1 (of 4)" in done.stdout and "~10" in done.stdout and "subsampled from one run" in done.stdout
    table = [line for line in (out / "table.md").read_text().splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(rows) and len({line.count("|") for line in table}) == 1
    for x in ("budget", "lm_tokens", "all_tokens", "seconds"):
        assert (out / f"accuracy_by_{x}.png").read_bytes().startswith(b"\x89PNG")
        ElementTree.parse(out / f"accuracy_by_{x}.svg")


def test_drawing_again_gives_the_same_svg(tmp_path, runs):
    def drawn():
        reported(tmp_path, *runs)
        return (tmp_path / "out" / "accuracy_by_budget.svg").read_bytes()

    assert drawn() == drawn()


def test_budgets_choose_where_best_of_n_is_subsampled(tmp_path, runs):
    rows, _ = reported(tmp_path, *runs, "--budgets", 1, 4, 64)
    assert [r["budget"] for r in rows if r["method"] == "best_of_n"] == [1, 4]


def test_a_run_of_its_own_goes_before_subsampling(tmp_path):
    small, large = (make_run(tmp_path, budget=n, outputs=(OUTPUTS * 2)[:n]) for n in (2, 8))
    rows, _ = reported(tmp_path, small, large)
    assert [(r["budget"], r["subsampled_from"]) for r in rows] == [(1, 8), (2, None), (4, 8), (8, None)]


def test_seeds_are_averaged_also_where_subsampled(tmp_path):
    a, b = make_run(tmp_path, outcomes=[1, 1], outputs=OUTPUTS), make_run(tmp_path, outcomes=[1, 0], seed=1,
                                                                          outputs=[OUTPUTS[1]] * 4)  # fmt: skip
    one, _, four = reported(tmp_path, a, b)[0]
    assert four["headline"][0] == 0.75 and one["headline"][0] == pytest.approx((0.5 + 0) / 2)
    assert four["problems"] == 2 and four["lm_tokens"] == 40 and len(four["runs"]) == 2


def test_runs_that_are_not_whole_are_named_in_words(tmp_path):
    run = make_run(tmp_path, "beam_search", outcomes=[1, 0, 1], failed=(1,), planned=10)
    rows, notes = reported(tmp_path, run, make_run(tmp_path, "dvts", outcomes=[1, 1], failed=(0, 1)))
    assert f"beam_search in {run} has not ended: 3 of 10 questions." in notes
    assert any("1 questions failed and are in no accuracy" in note for note in notes)
    assert rows[0]["headline"][0] == 1 and rows[0]["errors"] == 1
    assert rows[1]["headline"] is None and rows[1]["problems"] == 0


def test_other_settings_are_other_curves(tmp_path):
    runs = [make_run(tmp_path, "dvts", n, temperature=t) for n in (1, 4) for t in (0.5, 1.0)]
    rows, _ = reported(tmp_path, *runs)
    assert [(r["label"], r["budget"]) for r in rows] == [
        ("dvts temperature=0.5", 1), ("dvts temperature=0.5", 4),
        ("dvts temperature=1.0", 1), ("dvts temperature=1.0", 4),
    ]  # fmt: skip


def test_budgets_of_runs_without_the_flag(tmp_path):
    paths = [make_run(tmp_path, method, 4) for method in ("best_of_n", "beam_search", "vanila_mcts")]
    for path in paths:
        config = json.loads((path / "config.json").read_text())
        del config["arguments"]["budget"]
        (path / "config.json").write_text(json.dumps(config))
    assert [report.budget_of(read(path).config) for path in paths] == [4, 16, None]
    _, notes = reported(tmp_path, *paths[1:])
    assert any("left out of the curve over budgets" in note for note in notes)


def test_every_method_has_a_look_of_its_own():
    rows = [{"label": name, "method": name} for name in METHODS]
    styles = curves._styles([*rows, {"label": "new", "method": "new"}, {"label": "dvts x=1", "method": "dvts"}])
    assert len(styles) == len(METHODS) - 1 + 2
    for i in (0, 1):
        assert len({style[i] for style in styles.values()}) == len(styles)


def test_the_report_imports_no_engine_and_draws_without_a_display(tmp_path, runs):
    code = (
        "import sys; from reason.evaluation import report; assert 'matplotlib' not in sys.modules;"
        "report.main(sys.argv[1:]);"
        "print([m for m in ('torch', 'transformers', 'vllm') if m in sys.modules])"
    )
    words = [sys.executable, "-c", code, *map(str, runs), "--out", str(tmp_path / "out")]
    done = subprocess.run(words, cwd=ROOT, env={"DISPLAY": "", "HOME": str(tmp_path)}, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_without_matplotlib_the_table_stands_and_one_line_says_what_is_missing(tmp_path, runs, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "reason.evaluation.curves")
    monkeypatch.delattr("reason.evaluation.curves")
    assert report.main([str(runs[2]), "--out", str(tmp_path / "out")]) == 2
    assert "the curves need matplotlib" in capsys.readouterr().err
    assert (tmp_path / "out" / "table.md").exists()


def test_bad_input_is_one_line(tmp_path, runs):
    other = make_run(tmp_path, "cot", None, rm=None, task="MATH")
    broken = make_run(tmp_path, "dvts")
    (broken / "config.json").write_text("{}")
    shard = make_run(tmp_path, "dvts", num_shards=2, shard=0)
    file = tmp_path / "file"
    file.write_text("")
    out = ["--out", tmp_path / "out"]
    for words, named in [
        ([tmp_path / "none", *out], "none/config.json: cannot be read"), ([runs[0], other, *out], "different tasks"),
        ([broken, *out], "has no 'method'"), ([shard, *out], "shard 1 of 2 is missing"),
        ([runs[0], runs[0], *out], "the same run with seed 0"), ([runs[0]], "--out"), (out, "RUN_DIR"),
        ([runs[0], "--out", file], f"--out {file}"), ([runs[0], *out, "--budgets", 0], "--budgets"),
    ]:  # fmt: skip
        done = call(*words, module="reason.evaluation.report")
        assert done.returncode == 2 and named in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr


def test_pooling_keeps_budgets_apart(tmp_path):
    assert len(pool([read(make_run(tmp_path, "dvts", n, seed=s)) for n in (1, 4) for s in (0, 1)])) == 2
