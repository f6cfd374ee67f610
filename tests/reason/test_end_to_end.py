"""What users run: the embedded models behind a real controller and real workers, started by the service script."""

import os
import subprocess

import pytest

from tests.cli import call, folder_of, records_of
from tests.fakes import ROOT, free_port

METHODS = {
    "cot": [],
    "best_of_n": ["--num_sequence", "4"],
    "beam_search": ["--num_sequence", "2", "--tree_max_width", "3"],
    "vanila_mcts": ["--budget", "4", "--tree_max_width", "3"],
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=[1, 2], ids=["one worker", "two workers"])
def services(request, tmp_path_factory):
    """The controller's address; the LM and the PRM have one worker each, or two."""
    controller = free_port()
    environment = os.environ | {
        "CONTROLLER_PORT": str(controller),
        "WORKER_BASE_PORT": str(free_port(4)),
        "NUM_LM_WORKER": str(request.param),
        "NUM_RM_WORKER": str(request.param),
        "ENGINE": "transformers",
        "SESSION": f"openr-test-{controller}",
        "LOGDIR": str(tmp_path_factory.mktemp("services")),
        "READY_SECONDS": "300",
    }
    script = ["sh", "reason/llm_service/create_service_tiny.sh"]
    started = subprocess.run(script, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert started.returncode == 0, started.stdout + started.stderr
    yield f"http://127.0.0.1:{controller}"
    subprocess.run(["sh", "reason/llm_service/stop_service.sh"], cwd=ROOT, env=environment, check=True, timeout=60)


SEEN: dict[str, dict] = {}  # method -> answers of the first services that ran it


@pytest.mark.parametrize("method", METHODS)
def test_a_run_is_the_same_at_any_concurrency_and_with_any_number_of_workers(method, services, tmp_path):
    rm = [] if method == "cot" else ["--RM", "openr-tiny-prm"]
    for num_worker in (1, 64):
        arguments = [
            "--method",
            method,
            "--LM",
            "openr-tiny-policy",
            *rm,
            *METHODS[method],
            "--task_name",
            "arithmetic",
        ]
        arguments += ["--limit", 6, "--seed", 5, "--num_worker", num_worker, "--save_dir", tmp_path / str(num_worker)]
        done = call(*arguments, "--controller_addr", services)
        assert done.returncode == 0, done.stdout + done.stderr
        assert f"Method: {method}. Average result: ({{" in done.stdout
        answers = {}
        for identifier, record in records_of(folder_of(done)).items():
            assert record["error"] is None
            outputs = [(o["text"], o["num_tokens"]) for o in record["output"]]
            scores = [score for o in record["output"] for score in o["value"] or []]
            answers[identifier] = (record["result"], outputs, scores)
        assert len(answers) == 6
        first = SEEN.setdefault(method, answers)
        for identifier, (result, outputs, scores) in answers.items():
            assert (result, outputs) == first[identifier][:2]
            assert scores == pytest.approx(first[identifier][2], abs=1e-4)
