"""Best-of-N curves over a finished run, by `evaluate.py best_of_n` and `offline_eval.py`."""

import asyncio
import json
import subprocess
import sys

import pytest

from envs.base_env import DataOptions
from reason.evaluation import records, stats
from reason.evaluation.evaluator import Setup, evaluate_problem
from reason.guided_search.best_of_n import BestOfN
from reason.guided_search.options import SearchOptions
from reason.model_cards.card import to_dict
from tests.cli import call
from tests.fakes import LM_CARD, PRM_CARD, ROOT, FakeLM, FakeRM, FakeWorker
from tests.prm.benchmarks.conftest import TASK, by_name, evaluate, result_of

N, PROBLEMS = 6, TASK.problems(DataOptions(limit=16))


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    config = {
        "method": "best_of_n", "LM": "policy", "RM": None, "arguments": {}, "method_config": {"num_sequence": N},
        "gen_config": {}, "dataset": {"task": "arithmetic", "questions": 20}, "cards": {"LM": to_dict(LM_CARD)},
    }  # fmt: skip
    save_dir = tmp_path_factory.mktemp("run")
    folder = records.create(save_dir, "arithmetic", "best_of_n", json.loads(json.dumps(config)))
    options = SearchOptions(depth=10, num_sequence=N, temperature=1.0)
    for problem in PROBLEMS:
        setup = Setup(TASK, BestOfN(), FakeLM(), FakeRM(), options, TASK.grader())
        folder.append(asyncio.run(evaluate_problem(setup, problem)) | {"elapsed": 0.0})
    folder.close()
    return folder.path


def test_the_ends_of_the_curves_are_what_is_known(run, tmp_path):
    assert evaluate("best_of_n", run, "--RM", "oracle", "--out", tmp_path) == 0
    result = result_of(tmp_path)
    rows = result["curve"]
    assert sorted({row["budget"] for row in rows}) == [1, 2, 4, N]
    samples = [o["verdict"] is True for record in records.read_records(run) for o in record["output"]]
    for name in {row["name"] for row in rows}:  # one sample leaves no choice
        assert by_name(rows, name=name, budget=1)["accuracy"] == pytest.approx(stats.mean(samples))
    (folder,) = (tmp_path / "arithmetic" / "best_of_n").iterdir()
    results = [record["result"] for record in records.read_records(folder)]
    for name in ("coverage", "prm_min_vote", "prm_last_max"):
        assert by_name(rows, name=name, budget=N)["accuracy"] == pytest.approx(stats.mean([r[name] for r in results]))
    best, coverage = (by_name(rows, name=name, budget=N) for name in ("prm_min_max", "coverage"))
    assert best["accuracy"] == coverage["accuracy"]
    assert any("has not ended: 16 of 20" in note for note in result["notes"])
    assert (tmp_path / "best_of_n.png").exists() and (tmp_path / "best_of_n.svg").exists()


def test_offline_eval_rescores_through_a_served_prm_without_torch(run, tmp_path, controller):
    code = (
        "import runpy, sys\n"
        "try: runpy.run_path(sys.argv.pop(1), run_name='__main__')\n"
        "except SystemExit as end: print(end.code)\n"
        "print([m for m in ('torch', 'transformers', 'vllm') if m in sys.modules])"
    )
    words = [run, "--RM", "prm", "--controller_addr", controller, "--out", tmp_path]
    command = [sys.executable, "-c", code, "prm/offline_eval.py", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-2:] == ["0", "[]"], done.stderr
    assert "Method: best_of_n. Average result:" in done.stdout
    assert by_name(result_of(tmp_path)["curve"], name="prm_min_vote", budget=N)["accuracy"] > 0.5


def test_help_needs_no_engine():
    done = call("best_of_n", "--help", script="prm/evaluate.py")
    assert done.returncode == 0 and "RUN_DIR" in done.stdout


def test_bad_runs_are_one_line(run, tmp_path, controller, capsys):
    def broken(name, change):
        folder = tmp_path / name
        folder.mkdir()
        config = records.read_config(run)
        rows = records.read_records(run)
        change(config, rows)
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "record.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        return folder

    beam = broken("beam", lambda config, rows: config.update(method="beam_search"))
    empty = broken("empty", lambda config, rows: rows.clear())
    short = broken("short", lambda config, rows: rows[1]["output"].pop())
    foreign = broken("foreign", lambda config, rows: config.pop("cards"))
    for folder, message in [
        (tmp_path / "none", "cannot be read"), (beam, "only the samples of best_of_n"),
        (empty, "holds no answered question"), (short, "line 2: has 5 solutions"), (foreign, "has no 'cards'"),
    ]:  # fmt: skip
        assert evaluate("best_of_n", folder, "--RM", "oracle", "--out", tmp_path / "out") == 2
        assert message in capsys.readouterr().err.splitlines()[-1]


def test_a_prm_with_a_wrong_number_of_scores_is_named_with_the_records_line(run, tmp_path, controller, capsys):
    with FakeWorker("faulty", controller, PRM_CARD, faults={PROBLEMS[2].question: "wrong_count"}):
        assert evaluate("best_of_n", run, "--RM", "faulty", "--controller_addr", controller, "--out", tmp_path) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert f"{run / 'record.jsonl'}, line 3: the reward model gave" in err
    assert not (tmp_path / "arithmetic").exists()
