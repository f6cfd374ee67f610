"""evaluate.py as users type it: run folder, bad input, misbehaving workers, resuming."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import pytest

from envs.base_env import DataOptions, load_task
from reason.evaluation.runs import read
from tests.cli import call, command, folder_of, records_of
from tests.fakes import LM_CARD, PRM_CARD, ROOT, FakeWorker

PROBLEMS = load_task("arithmetic").problems(DataOptions(limit=12))
BEST_OF_4 = ["--LM", "policy", "--RM", "prm", "--method", "best_of_n", "--num_sequence", 4]
ARITHMETIC = ["--task_name", "arithmetic", "--limit", 12]


def answers(folder):
    return {i: (r["result"], r["output"]) for i, r in records_of(folder).items()}


def test_help_is_instant_and_imports_no_engine():
    def cpu_seconds():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before = cpu_seconds()
    done = call("--help")
    assert done.returncode == 0 and cpu_seconds() - before < 1.0
    assert "--num_sequence" in done.stdout
    assert "rebase:\n  --rebase_temperature" in done.stdout and "vanila_mcts and mcts_alpha:\n" in done.stdout


def test_client_imports_neither_torch_nor_transformers(tmp_path, services):
    code = (
        "import sys; from reason.evaluation.evaluate import main; main(sys.argv[1:]);"
        "print([m for m in ('torch', 'transformers', 'vllm') if m in sys.modules])"
    )
    words = [*BEST_OF_4, *ARITHMETIC, "--controller_addr", services, "--save_dir", tmp_path]
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("method, extra", [("cot", []), ("best_of_n", ["--num_sequence", 3]),
                                           ("beam_search", ["--num_sequence", 2, "--tree_max_width", 2]),
                                           ("dvts", ["--budget", 4, "--max_tokens_per_question", 9999]),
                                           ("vanila_mcts", ["--num_sequence", 2, "--tree_max_width", 1])])  # fmt: skip
def test_a_run_leaves_a_folder_that_says_everything(tmp_path, services, method, extra):
    words = ["--LM", "policy", "--RM", "prm", "--method", method, *extra, *ARITHMETIC]
    done = call(*words, "--controller_addr", services, "--save_dir", tmp_path)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(rf"Method: {method}\. Average result: \(\{{'majority_vote': .*\}},\)", last)
    folder = folder_of(done)
    assert folder.parent == tmp_path / "arithmetic" / method and re.fullmatch(r"\d{8}_\d{6}(_\d+)?", folder.name)
    records = records_of(folder)
    assert set(records) == {p.id for p in PROBLEMS}
    for r in records.values():
        assert {"id", "question", "groundtruth", "result", "output", "ledger", "error"} <= set(r)
        solution = {"path_idx", "text", "value", "completion_tokens", "answer", "verdict", "finish_reason"}
        assert all(solution <= set(o) for o in r["output"])
    config = json.loads((folder / "config.json").read_text())
    assert config["arguments"]["seed"] == 0 and config["cards"]["LM"]["name"] == "fake-policy"
    assert config["versions"]["python"] and len(config["dataset"]["sha256"]) == 64
    average = json.loads((folder / "avg_result.json").read_text())
    assert len(average) == 1 and average[0]["questions"] == 12 and average[0]["errors"] == 0
    low, high = average[0]["intervals"]["headline"]
    assert low <= average[0]["headline"] <= high
    expected_votes = {"cot": 1}.get(method, 5)
    assert sum(name in average[0] for name in ("majority_vote", "prm_min_max", "prm_min_vote", "prm_last_max",
                                               "prm_last_vote")) == expected_votes  # fmt: skip


def test_num_worker_1_and_64_and_local_give_the_same_answers(tmp_path, services):
    words = [*BEST_OF_4, *ARITHMETIC, "--controller_addr", services, "--save_dir", tmp_path]
    runs = [call(*words, "--num_worker", 64), call(*words, "--num_worker", 1), call(*words, "--local")]
    first, *others = [answers(folder_of(run)) for run in runs]
    assert all(other == first for other in others)
    assert answers(folder_of(call(*words, "--seed", 1))) != first


BAD = {
    "unknown method": (["--method", "best_of"], "best_of_n"),
    "unknown task": (["--task_name", "gsm9k"], "arithmetic"),
    "unknown model": (["--LM", "nobody"], "policy"),
    "unknown reward model": (["--RM", "nobody"], "prm"),
    "an LM as reward model": (["--RM", "policy"], "lm card"),
    "a PRM as policy": (["--LM", "prm"], "prm card"),
    "unknown card": (["--rm_card", "no-such-card"], "no-such-card"),
    "another card": (["--rm_card", "{card}"], "fake-prm"),
    "missing dataset": (["--data_path", "/no/such/file.jsonl"], "/no/such/file.jsonl"),
    "width 0": (["--method", "beam_search", "--tree_max_width", 0], "width"),
    "depth 0": (["--method", "vanila_mcts", "--tree_max_depth", 0], "depth"),
    "num_worker 0": (["--num_worker", 0], "--num_worker"),
    "num_sequence 0": (["--num_sequence", 0], "num_sequence"),
    "budget 0": (["--budget", 0], "--budget"),
    "budget and num_sequence": (["--budget", 4], "--num_sequence"),
    "steps given and measured": (["--steps_per_solution", 8, "--measure_steps"], "--measure_steps"),
    "steps measured for no budget": (["--measure_steps"], "--budget"),
    "method with a typing error": (["--method", "best_of_m"], "did you mean 'best_of_n'"),
    "no controller": (["--controller_addr", "http://127.0.0.1:9"], "http://127.0.0.1:9"),
    "tree method without a reward model": (["--method", "beam_search", "--RM", "dummy"], "--RM"),
    "few-shot without examples": (["--is_few_shot", "True"], "--is_few_shot"),
    "neither True nor False": (["--is_few_shot", "yes"], "True or False"),
    "negative temperature": (["--temperature", -1], "temperature"),
    "limit 0": (["--limit", 0], "limit"),
    "unknown level": (["--level", "9999"], "9999"),
    "unknown split": (["--split", "holdout"], "holdout"),
    "a resume folder that is none": (["--resume_dir", "/no/such/run"], "/no/such/run"),
    "malformed oracle": (["--RM", "oracle:noise=2"], "noise"),
    "allow_errors above 1": (["--allow_errors", 2], "--allow_errors"),
    "a flag that is not there": (["--test", "True"], "--test"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_status_2(tmp_path, services, case):
    card = tmp_path / "other.yaml"
    card.write_text('kind: prm\nname: other\nhead: value\nstep_tag: "<s>"\n')
    extra, named = BAD[case]
    extra = [str(word).replace("{card}", str(card)) for word in extra]
    done = call(*BEST_OF_4, *ARITHMETIC, "--controller_addr", services, "--save_dir", tmp_path, *extra)
    assert done.returncode == 2, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and named in lines[0], done.stderr
    assert not list(tmp_path.glob("arithmetic/**/record.jsonl"))


def test_questions_cut_by_a_limit_are_told_and_the_address_needs_no_scheme(tmp_path, services):
    words = [*BEST_OF_4, *ARITHMETIC, "--controller_addr", services.removeprefix("http://"), "--save_dir", tmp_path]
    done = call(*words, "--max_seconds_per_question", 0.001)
    assert done.returncode == 0, done.stderr
    assert "12 of 12 questions were cut by --max_seconds_per_question" in done.stdout


def test_the_steps_of_a_solution_are_measured_where_a_budget_needs_them_and_nobody_knows(tmp_path, services):
    data = tmp_path / "own.jsonl"
    rows = [{"id": p.id, "question": p.question, "answer": p.answer} for p in PROBLEMS]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["--LM", "policy", "--RM", "prm", "--budget", 4, "--task_name", "arithmetic", "--data_path", data]
    words += ["--controller_addr", services, "--save_dir", tmp_path]
    done = call(*words, "--method", "vanila_mcts")
    assert done.returncode == 0, done.stderr
    said = "Steps of a sampled solution: T = 8, the mean over 48 solutions of 12 questions (0% of one step, 0% cut)"
    assert said in done.stdout
    folder = folder_of(done)
    config = json.loads((folder / "config.json").read_text())
    measured = config["measured_steps"]
    assert config["method_config"]["steps_per_solution"] == measured["steps_per_solution"] == 8
    average = json.loads((folder / "avg_result.json").read_text())[0]
    cost = sum(record["ledger"]["generated_tokens"] for record in records_of(folder).values())
    assert measured["ledger"]["generated_tokens"] > 0
    assert average["ledger"]["generated_tokens"] == cost + measured["ledger"]["generated_tokens"]
    assert read(folder).ledger.generated_tokens == average["ledger"]["generated_tokens"]
    again = call(*words, "--method", "vanila_mcts", "--resume_dir", folder)
    assert again.returncode == 0 and "Steps of a sampled solution" not in again.stdout  # a resumed run keeps its own
    free = call(*words, "--method", "beam_search")
    assert free.returncode == 0 and "Steps of a sampled solution" not in free.stdout
    asked = call(*words, "--method", "beam_search", "--measure_steps")
    assert asked.returncode == 0 and "T = 8" in asked.stdout


def test_flags_that_a_method_cannot_use_are_named(tmp_path, services):
    words = ["--LM", "policy", "--method", "cot", *ARITHMETIC, "--tree_max_width", 4]
    done = call(*words, "--controller_addr", services, "--save_dir", tmp_path)
    assert done.returncode == 0 and "cot has no use for --tree_max_width" in done.stderr


LM_FAULTS = ["status_500", "html", "drop", "hang", "error_code", "not_a_list", "array", "wrong_count"]
RM_FAULTS = ["status_500", "html", "drop", "hang", "error_code", "not_a_list", "array", "wrong_count", "nan"]


@pytest.mark.slow
def test_each_kind_of_misbehaviour_is_one_error_record(tmp_path, controller):
    """Every fault at once, each at another question; the one question that is left is answered."""
    lm = dict(zip((p.question for p in PROBLEMS), LM_FAULTS))
    rm = dict(zip((p.question for p in PROBLEMS), RM_FAULTS))
    words = ["--method", "best_of_n", "--num_sequence", 2, *ARITHMETIC, "--controller_addr", controller]
    words += ["--save_dir", tmp_path, "--request_timeout", 0.5]
    with FakeWorker("bad-policy", controller, LM_CARD, lm), FakeWorker("good-policy", controller, LM_CARD), \
            FakeWorker("bad-prm", controller, PRM_CARD, rm), FakeWorker("good-prm", controller, PRM_CARD):  # fmt: skip
        bad_lm = call(*words, "--LM", "bad-policy", "--RM", "good-prm")
        bad_rm = call(*words, "--LM", "good-policy", "--RM", "bad-prm", "--allow_errors", 0.8)
    for done, faults, status in ((bad_lm, LM_FAULTS, 1), (bad_rm, RM_FAULTS, 0)):
        assert done.returncode == status, done.stderr
        assert f"{len(faults)} of 12 questions failed" in done.stdout
        records = records_of(folder_of(done))
        for problem, fault in zip(PROBLEMS, faults):
            error = records[problem.id]["error"]
            assert error is not None and error["type"] == "ModelError" and error["message"], (fault, error)
            assert records[problem.id]["result"] is None
        assert all(records[p.id]["error"] is None for p in PROBLEMS[len(faults) :])
        average = json.loads((folder_of(done) / "avg_result.json").read_text())[0]
        assert average["errors"] == len(faults) and average["questions"] == 12


def test_a_fault_that_passes_is_tried_again(tmp_path, controller):
    once = {p.question: fault for p, fault in zip(PROBLEMS, ["status_500", "html", "drop"])}
    words = ["--method", "best_of_n", "--num_sequence", 2, *ARITHMETIC, "--controller_addr", controller]
    with FakeWorker("shaky", controller, LM_CARD, once=once), FakeWorker("shaky-prm", controller, PRM_CARD, once=once):
        done = call(*words, "--LM", "shaky", "--RM", "shaky-prm", "--save_dir", tmp_path)
    assert done.returncode == 0, done.stdout
    assert not any(r["error"] for r in records_of(folder_of(done)).values())


def kill_in_the_middle(words, save_dir, with_signal):
    """Start a run, stop it after its third record; returns its folder and what it said."""
    process = subprocess.Popen(command(*words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = list(save_dir.glob("*/*/*/record.jsonl"))
        if found and found[0].read_text().count("\n") >= 3:
            break
        time.sleep(0.01)
    os.kill(process.pid, with_signal)
    return found[0].parent, process.communicate(timeout=30), process.returncode


@pytest.fixture
def slow_words(tmp_path, controller):
    """A run that takes seconds, and the same run undisturbed."""
    with FakeWorker("slow", controller, LM_CARD, delay=0.2), FakeWorker("slow-prm", controller, PRM_CARD):
        models = ["--LM", "slow", "--RM", "slow-prm", "--controller_addr", controller, "--num_worker", 4]
        yield [*models, *ARITHMETIC, "--method", "beam_search", "--num_sequence", 2, "--tree_max_width", 2]


@pytest.mark.slow
def test_resuming_after_kill_9_gives_the_answers_of_an_undisturbed_run(tmp_path, slow_words):
    undisturbed = folder_of(call(*slow_words, "--save_dir", tmp_path / "whole"))
    folder, _, _ = kill_in_the_middle([*slow_words, "--save_dir", tmp_path / "cut"], tmp_path / "cut", signal.SIGKILL)
    with open(folder / "record.jsonl", "a", encoding="utf-8") as file:
        file.write('{"id": "torn", "question": "1 +')
    before = set(records_of_complete_lines(folder))
    assert 0 < len(before) < 12
    refused = call(*slow_words, "--resume_dir", folder, "--seed", 5)
    assert refused.returncode == 2 and "--seed was 0 and is 5" in refused.stderr
    done = call(*slow_words, "--resume_dir", folder, "--num_worker", 2)
    assert done.returncode == 0, done.stderr
    assert folder_of(done) == folder
    assert answers(folder) == answers(undisturbed)
    assert len((folder / "record.jsonl").read_text().splitlines()) == 12  # nothing was done twice
    average, expected = (json.loads((f / "avg_result.json").read_text())[0] for f in (folder, undisturbed))
    assert average["intervals"] == expected["intervals"] and average["headline"] == expected["headline"]


def records_of_complete_lines(folder):
    text = (folder / "record.jsonl").read_text(encoding="utf-8")
    return [json.loads(line)["id"] for line in text[: text.rfind("\n") + 1].splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("sent, expected", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_leaves_valid_records_and_says_how_to_go_on(tmp_path, slow_words, sent, expected):
    folder, (_, said), status = kill_in_the_middle([*slow_words, "--save_dir", tmp_path], tmp_path, sent)
    assert status == expected and "Traceback" not in said
    assert f"--resume_dir {folder}" in said
    assert 3 <= len(records_of(folder)) < 12


def test_questions_that_failed_are_asked_again_on_resume(tmp_path, controller):
    bad = {PROBLEMS[2].question: "error_code"}
    words = ["--LM", "mended", "--method", "cot", *ARITHMETIC, "--controller_addr", controller]
    with FakeWorker("mended", controller, LM_CARD, bad) as worker:
        first = call(*words, "--save_dir", tmp_path)
        assert first.returncode == 1 and "1 of 12 questions failed" in first.stdout
        worker.faults.clear()
        asked = worker.requests["worker_generate"]
        second = call(*words, "--resume_dir", folder_of(first))
        assert second.returncode == 0, second.stdout + second.stderr
        assert worker.requests["worker_generate"] == asked + 1
    assert not any(r["error"] for r in records_of(folder_of(first)).values())


@pytest.mark.slow
def test_client_stays_under_500_mb_with_512_questions_in_flight(tmp_path, controller):
    words = ["--LM", "many", "--RM", "many-prm", "--method", "best_of_n", "--num_sequence", 16, "--num_worker", 512]
    words += ["--task_name", "arithmetic", "--limit", 600, "--controller_addr", controller, "--save_dir", tmp_path]
    with FakeWorker("many", controller, LM_CARD, delay=2.0), FakeWorker("many-prm", controller, PRM_CARD, delay=1.0):
        # a child's peak counts the process that it was forked from, so it is forked from a small one
        measure = "import resource as r, subprocess as s, sys; code = s.call(sys.argv[1:], stdout=s.DEVNULL); "
        measure += "print(r.getrusage(r.RUSAGE_CHILDREN).ru_maxrss); sys.exit(code)"
        words = [sys.executable, "-c", measure, *command(*words)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < 500 * 1024  # KiB


@pytest.mark.parametrize("name", ["cot_greedy", "cot_rerank", "beam_search", "vanila_mcts"])
def test_eval_scripts_run_under_plain_sh_from_any_folder(tmp_path, services, name):
    chosen = {"LM": "policy", "RM": "prm", "CONTROLLER_ADDR": services, "SAVE_DIR": str(tmp_path), "NUM_SEQUENCE": "2"}
    done = subprocess.run(
        ["sh", ROOT / "scripts/eval" / f"{name}.sh", "--limit", "3"], cwd=tmp_path,
        env=os.environ | chosen | {"PYTHON": sys.executable}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(records_of(folder_of(done))) == 3


def test_questions_that_cannot_be_asked_are_left_out_and_counted(tmp_path, services):
    rows = [{"question": p.question, "answer": p.answer} for p in PROBLEMS[:3]]
    rows += [{"problem": "9 + 3 \ud83d", "answer": "12"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = [*BEST_OF_4, "--task_name", "MATH", "--data_path", tmp_path / "rows.jsonl"]
    done = call(*words, "--controller_addr", services, "--save_dir", tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert "1 of 4 questions cannot be asked and are left out, such as MATH/3: it holds half a character" in done.stderr
    assert len(records_of(folder_of(done))) == 3
