import json

import pytest

from reason.evaluation import compare, records
from tests.cli import call

LEDGER = {"generated_tokens": 100, "prm_tokens_computed": 30, "seconds_waiting": 0.5}  # the last of an older version


def make_run(folder, method, outcomes, seed=0, task="arithmetic", planned=None):
    """A run folder; `outcomes` is (headline, majority) by question, None for a failed one."""
    config = {
        "method": method, "LM": "policy", "RM": None if method == "cot" else "prm", "arguments": {"seed": seed},
        "method_config": {"num_sequence": 4, "width": 4}, "gen_config": {"temperature": 1.0, "seed": seed},
        "dataset": {"task": task, "sha256": "x", "questions": planned or len(outcomes)}, "cards": {},
    }  # fmt: skip
    run = records.create(folder, task, method, config)
    for i, outcome in enumerate(outcomes):
        result = None
        if outcome is not None:
            result = {"majority_vote": outcome[1], "headline": outcome[0], "coverage": 1, "total_completion_tokens": 9}
        error = {"type": "ModelError", "message": "x"} if outcome is None else None
        run.append({"id": str(i), "result": result, "ledger": LEDGER, "error": error, "level": None, "undecided": 0,
                    "elapsed": i + 1.0})  # fmt: skip
    run.close()
    return run.path


def test_table_differences_and_json(tmp_path):
    greedy = make_run(tmp_path, "cot", [(1, 1)] * 40 + [(0, 0)] * 60)
    best = make_run(tmp_path, "best_of_n", [(1, 1)] * 60 + [(1, 0)] * 10 + [(0, 0)] * 29 + [None])
    done = call(greedy, best, "--against", f"{greedy}:headline", "--against", ":majority_vote", "--json",
                tmp_path / "out.json", module="reason.evaluation.compare")  # fmt: skip
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["rows"][1]["headline"][0] == pytest.approx(70 / 99)
    assert (data["rows"][1]["questions"], data["rows"][1]["errors"], data["rows"][1]["lm_tokens"]) == (99, 1, 100)
    against_greedy, own_majority = [d for d in data["differences"] if str(best) in d["run"]]
    assert against_greedy["questions"] == 99
    assert against_greedy["difference"][0] == pytest.approx(30 / 99)
    assert own_majority["difference"][0] == pytest.approx(10 / 99)
    assert own_majority["mcnemar_p"] == pytest.approx(2 / 2**10)
    lines = done.stdout.splitlines()
    assert lines[0].split()[:2] == ["method", "scorer"] and len(lines) == 1 + 2 + len(data["differences"])
    assert (
        lines[3].startswith("best_of_n prm seed 0:headline - cot seed 0:headline: +30.3 [") and "folder" not in lines[0]
    )
    assert done.stderr.count("\n") == 1 and f"best_of_n in {best}: 1 questions failed" in done.stderr


def test_runs_that_look_alike_are_told_apart_by_their_folders(tmp_path, capsys):
    first, second = (make_run(tmp_path / name, "cot", [(1, 1), (0, 1)]) for name in "ab")
    other = make_run(tmp_path / "a", "best_of_n", [(1, 1), (0, 1)])
    runs = [first, second, other]
    folders = compare._ends(runs)
    assert len(set(folders)) == 3 and all(str(run).endswith(end) for run, end in zip(runs, folders))
    assert compare.main([*map(str, runs), "--against", f"{second}:majority"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-1] for line in lines[:4]] == ["folder", *folders]
    named = [f"cot seed 0 {folder}" for folder in folders[:2]]
    assert [line.partition(":headline - ")[0] for line in lines[4:]] == [*named, "best_of_n prm seed 0"]
    assert all(f" - {named[1]}:majority_vote: -50.0" in line for line in lines[4:])


def test_a_run_that_has_not_ended_is_told(tmp_path, capsys):
    whole, stopped = (make_run(tmp_path, "cot", [(1, 1), (0, 1)], planned=n) for n in (2, 60))
    told = f"compare.py: cot in {stopped} has not ended: 2 of 60 questions.\n"
    assert compare.main([str(whole), str(stopped)]) == 0
    assert capsys.readouterr().err == told
    assert compare.main([str(whole), "--against", str(stopped)]) == 0
    assert capsys.readouterr().err == told


def test_seeds_are_pooled_question_by_question(tmp_path):
    a = make_run(tmp_path, "best_of_n", [(1, 1), (0, 0), (1, 0)], seed=0)
    b = make_run(tmp_path, "best_of_n", [(0, 1), (0, 0), None], seed=1)
    (pooled,) = compare.pool([compare.read(a), compare.read(b)])
    assert {i: r["headline"] for i, r in pooled.results.items()} == {"0": 0.5, "1": 0, "2": 1}
    assert pooled.errors == 1
    row = compare.row(pooled)
    assert row["headline"][0] == pytest.approx(0.5) and row["lm_tokens"] == 100


def test_markdown_is_a_table(tmp_path, capsys):
    assert compare.main([str(make_run(tmp_path, "cot", [(1, 1), (0, 0)])), "--markdown"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(line.startswith("|") and line.count("|") == lines[0].count("|") for line in lines)


def test_a_run_without_an_answered_question_is_a_row_too(tmp_path):
    row = compare.row(compare.read(make_run(tmp_path, "cot", [None, None])))
    assert (row["questions"], row["errors"]) == (0, 2)
    compare.table([row], markdown=False)


def test_bad_input_is_one_line(tmp_path):
    run = make_run(tmp_path, "cot", [(1, 1)])
    other = make_run(tmp_path, "cot", [(1, 1)], task="MATH")
    votes = "it has: majority_vote, headline, coverage"
    for words, named in [((tmp_path / "none",), "none"), ((run, "--against", ":no_vote"), votes),
                         ((run, "--against", ":total_completion_tokens"), votes),
                         ((run, other, "--against", f"{run}:headline"), "different tasks")]:  # fmt: skip
        done = call(*words, module="reason.evaluation.compare")
        assert done.returncode == 2 and named in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
