"""A generative judge behind an LM worker as --RM: the same searches, the same records."""

import json

import pytest

from tests.cli import call, folder_of, records_of
from tests.fakes import JUDGE_CARD, FakeWorker

METHODS = {
    "best_of_n": ["--num_sequence", 3],
    "beam_search": ["--num_sequence", 2, "--tree_max_width", 2],
    "vanila_mcts": ["--budget", 2, "--tree_max_width", 2],
}


def run(controller, rm, method, save_dir):
    return call(
        "--LM", "policy", "--RM", rm, "--method", method, *METHODS[method], "--task_name", "arithmetic", "--level", "3",
        "--limit", 3, "--save_dir", save_dir, "--controller_addr", controller,
    )  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_a_judge_that_thinks_like_a_prm_gives_the_same_run(method, services, controller, tmp_path):
    with FakeWorker("judge", controller, JUDGE_CARD) as judge:
        folders = []
        for rm in ("prm", "judge"):
            done = run(controller, rm, method, tmp_path / rm)
            assert done.returncode == 0, done.stderr
            folders.append(folder_of(done))
    assert judge.requests["worker_value_inference"] == 0
    by_prm, by_judge = map(records_of, folders)
    for identifier, record in by_prm.items():
        other = by_judge[identifier]
        assert other["error"] is None
        assert [o["text"] for o in other["output"]] == [o["text"] for o in record["output"]]
        for mine, theirs in zip(other["output"], record["output"], strict=True):
            assert mine["value"] == pytest.approx(theirs["value"], abs=1e-9)
        assert other["ledger"]["lm_calls"] == record["ledger"]["lm_calls"], "a judge's tokens are the PRM's"
        assert other["ledger"]["generated_tokens"] == record["ledger"]["generated_tokens"]
        assert other["ledger"]["prm_tokens_computed"] > 0
    cards = json.loads((folders[1] / "config.json").read_text())["cards"]
    assert cards["RM"]["head"] == "generative"


def test_a_judge_that_cannot_answer_fails_its_question_alone(services, controller, tmp_path):
    done = run(controller, "prm", "best_of_n", tmp_path / "well")
    question = next(iter(records_of(folder_of(done)).values()))["question"]
    with FakeWorker("ill", controller, JUDGE_CARD, faults={question: "error_code"}):
        done = run(controller, "ill", "best_of_n", tmp_path / "ill")
    assert done.returncode == 1, done.stderr
    errors = [record["error"] for record in records_of(folder_of(done)).values() if record["error"] is not None]
    assert len(errors) == 1
    assert "too long" in errors[0]["message"]
