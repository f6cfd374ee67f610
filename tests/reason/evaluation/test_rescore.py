"""Voting again over a finished run with another scorer."""

import asyncio
import json

import pytest

from envs.base_env import DataOptions, load_task
from reason.evaluation import records, rescore
from reason.evaluation.evaluator import Setup, evaluate
from reason.guided_search import METHODS
from reason.guided_search.options import SearchOptions
from reason.inference.base import ModelError, ServiceError
from reason.inference.oracle import OracleRM
from reason.model_cards.card import to_dict
from tests.fakes import LM_CARD, FakeLM, FakeRM

TASK = load_task("arithmetic")


def run(rm, save_dir, method="best_of_n"):
    options = SearchOptions(depth=10, num_sequence=4, temperature=1.0)
    config = {"method": method, "dataset": {"task": "arithmetic", "questions": 20}, "cards": {"LM": to_dict(LM_CARD)}}
    folder = records.create(save_dir, "arithmetic", method, json.loads(json.dumps(config)))
    setup = Setup(TASK, METHODS[method](), FakeLM(), rm, options, TASK.grader())
    problems = TASK.problems(DataOptions(limit=20))
    asyncio.run(evaluate(setup, problems, 8, lambda record: folder.append(record | {"elapsed": 0.0})))
    folder.close()
    return folder.path


def rows(path):
    return {row["id"]: (row["result"], [o["value"] for o in row["output"]]) for row in records.read_records(path)}


def test_scoring_again_gives_what_a_run_with_that_scorer_gives(tmp_path):
    first = run(FakeRM(), tmp_path / "a")
    direct = run(OracleRM(TASK), tmp_path / "b")
    assert rescore.main([str(first), "--RM", "oracle", "--save_dir", str(tmp_path / "c")]) == 0
    (again,) = (tmp_path / "c" / "arithmetic" / "best_of_n").iterdir()
    assert rows(again) == rows(direct) != rows(first)
    assert records.read_config(again)["RM"] == "oracle"


def test_a_run_that_has_not_ended_is_told(tmp_path, capsys):
    path = run(FakeRM(), tmp_path / "a")
    lines = (path / "record.jsonl").read_text().splitlines(keepends=True)
    (path / "record.jsonl").write_text("".join(lines[:8]))
    assert rescore.main([str(path), "--RM", "oracle", "--save_dir", str(tmp_path / "b")]) == 0
    assert capsys.readouterr().err == f"rescore.py: best_of_n in {path} has not ended: 8 of 20 questions.\n"


def test_a_tree_search_is_refused(tmp_path, capsys):
    path = run(FakeRM(), tmp_path, "beam_search")
    assert rescore.main([str(path), "--RM", "oracle", "--save_dir", str(tmp_path)]) == 2
    assert "only the samples of best_of_n" in capsys.readouterr().err


class Mute(FakeRM):
    """Scores nothing of one question."""

    async def score(self, problem, solutions, ledger):
        if problem.id.endswith("/3"):
            raise ModelError("no verdict")
        return await super().score(problem, solutions, ledger)


def test_a_question_that_cannot_be_scored_is_refused_or_an_error(tmp_path):
    path = run(FakeRM(), tmp_path / "a")
    with pytest.raises(ServiceError, match="line 4: no verdict"):
        asyncio.run(rescore.rescore(path, "mute", Mute(), tmp_path / "b"))
    assert not (tmp_path / "b").exists()
    folder = asyncio.run(rescore.rescore(path, "mute", Mute(), tmp_path / "b", skip=True))
    failed = [row for row in records.read_records(folder) if row["error"] is not None]
    assert [(row["error"]["message"], row["result"], row["output"]) for row in failed] == [("no verdict", None, [])]
    assert [row["ledger"]["prm_calls"] for row in failed] == [0], "the old scorer's cost is not the new one's"
    assert len(records.read_records(folder)) == 20
