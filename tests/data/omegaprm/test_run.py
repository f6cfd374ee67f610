"""run_omegaprm.py and merge.py as users type them: outputs, resuming, shards, bad input, services that go away."""

import io
import json
import os
import random
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple

import pytest

from data.omegaprm import merge, run_omegaprm
from envs.base_env import DataOptions, load_task, split_steps
from tests.cli import call, command
from tests.fakes import LM_CARD, ROOT, FakeWorker

SCRIPT = "data/omegaprm/run_omegaprm.py"
TASK = load_task("arithmetic")
PROBLEMS = TASK.problems(DataOptions(split="train", limit=24))
WORDS = ["--LM", "policy", "--task_name", "arithmetic", "--limit", 24, "--num_rollouts", 8, "--rollout_budget", 120]


class Done(NamedTuple):
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str


def inside(main, *words):
    """A command in this process, because starting Python is most of its time."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = main([str(word) for word in words])
        except SystemExit as left:
            status = left.code
    return Done(status, out.getvalue(), err.getvalue())


def label(services, folder, *extra):
    return inside(run_omegaprm.main, *WORDS, "--controller_addr", services, "--output_dir", folder, *extra)


def merged(*words):
    return inside(merge.main, *words)


def read(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def undisturbed(services, tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    words = ["--controller_addr", services, "--output_dir", folder]
    done = call(*WORDS, *words, script=SCRIPT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{folder / 'arithmetic-aps-v2.jsonl'}: questions: ")
    return folder


def test_a_run_labels_the_questions_that_are_neither_always_nor_never_solved(undisturbed):
    summary = json.loads((undisturbed / "summary.json").read_text())
    journal, lines = read(undisturbed / "journal.jsonl"), read(undisturbed / "arithmetic-aps-v2.jsonl")
    assert {r["question_id"] for r in journal} == {p.id for p in PROBLEMS}
    assert sum(summary["questions"].values()) == 24 and summary["questions"]["labelled"] == len(lines) > 12
    assert [x["question_id"] for x in lines] == [p.id for p in PROBLEMS if p.id in {x["question_id"] for x in lines}]
    assert all(r["ledger"]["rollouts"] <= 120 for r in journal)
    assert summary["spent"]["rollouts"] == sum(r["ledger"]["rollouts"] for r in journal)
    for r in journal:
        skipped = r["status"] in ("always solved", "never solved")
        assert (r["reasoning_steps"] is None) == skipped and r["error"] is None
        assert r["ledger"]["rollouts"] == 8 if skipped else r["ledger"]["rollouts"] > 8


def test_labels_agree_with_the_oracle(undisturbed):
    by_id, right, n = {p.id: p for p in PROBLEMS}, 0, 0
    for line in read(undisturbed / "arithmetic-aps-v2.jsonl"):
        for searched in line["searched"]:
            if searched["first_error"] is not None:
                verdicts = [v.prefix_ok for v in TASK.oracle(by_id[line["question_id"]], searched["steps"])]
                right += verdicts.index(False) == searched["first_error"]
                n += 1
    assert n > 20 and right / n > 0.6  # k = 8 and values near .3: a right prefix is missed now and then


def test_flat_output_has_one_label_a_prefix(undisturbed, tmp_path):
    done = merged(undisturbed, "--output", tmp_path / "flat.jsonl", "--save_data_tree", "False")
    assert done.returncode == 0, done.stderr
    for line in read(tmp_path / "flat.jsonl"):
        prefixes = [item["solution_prefix"] for item in line["reasoning_steps"]]
        assert prefixes[0] == line["question"] and len(set(prefixes)) == len(prefixes)
        assert all(prefix.startswith(line["question"] + "\n\n") for prefix in prefixes[1:])
        assert all(split_steps(prefix.removeprefix(line["question"] + "\n\n"), "\n") for prefix in prefixes[1:])


@pytest.mark.slow
def test_killed_five_times_at_random_it_ends_with_the_same_file(services, undisturbed, tmp_path):
    rng, words = random.Random(), ["--controller_addr", services, "--output_dir", tmp_path, "--num_worker", 1]
    kills = 0
    while kills < 5:
        running = subprocess.Popen(
            command(*WORDS, *words, script=SCRIPT), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": ""},
        )  # fmt: skip
        journal, known = tmp_path / "journal.jsonl", kills * 3
        deadline = time.monotonic() + 60
        while running.poll() is None and time.monotonic() < deadline:  # some way into the run, then at any moment
            if journal.exists() and journal.read_bytes().count(b"\n") > known:
                break
            time.sleep(0.02)
        time.sleep(rng.random() * 0.15)
        assert running.poll() is None, "the run ended before it could be killed"
        running.kill()
        running.wait()
        kills += 1
    with open(tmp_path / "journal.jsonl", "ab") as file:
        file.write(b'{"index": 3, "question_id": "arith')  # and a torn line
    done = label(services, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "arithmetic-aps-v2.jsonl").read_bytes() == (undisturbed / "arithmetic-aps-v2.jsonl").read_bytes()
    ids = [r["question_id"] for r in read(tmp_path / "journal.jsonl")]
    assert len(ids) == len(set(ids)) == 24  # no finished question was done again


def test_shards_and_a_merge_give_the_file_of_the_whole(services, undisturbed, tmp_path):
    folders = [tmp_path / name for name in ("a", "b", "c")]
    for i, folder in enumerate(folders, 1):
        if i == 3:
            early = merged(*folders[:2], "--output", tmp_path / "x.jsonl")
            assert early.returncode == 2 and "shard 3/3 is missing" in early.stderr
        assert label(services, folder, "--shard", f"{i}/3").returncode == 0
    done = merged(*reversed(folders), "--output", tmp_path / "all.jsonl")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "all.jsonl").read_bytes() == (undisturbed / "arithmetic-aps-v2.jsonl").read_bytes()
    twice = merged(folders[0], folders[0], folders[1], "--output", tmp_path / "x.jsonl")
    assert twice.returncode == 2 and "do not belong together" in twice.stderr
    other = tmp_path / "other"
    assert label(services, other, "--shard", "2/3", "--seed", 1).returncode == 0
    mixed = merged(folders[0], other, "--output", tmp_path / "x.jsonl")
    assert mixed.returncode == 2 and "seed was 0 and is 1" in mixed.stderr
    lines = (folders[2] / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folders[2] / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    short = merged(*folders, "--output", tmp_path / "x.jsonl")
    assert short.returncode == 2 and "1 of 8 questions are not finished" in short.stderr


def test_a_finished_run_asks_for_nothing_and_another_configuration_is_refused(services, undisturbed):
    before = (undisturbed / "journal.jsonl").read_bytes()
    assert label(services, undisturbed).returncode == 0
    assert (undisturbed / "journal.jsonl").read_bytes() == before
    done = label(services, undisturbed, "--alpha", 0.6)
    assert done.returncode == 2 and "alpha was 0.5 and is 0.6" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_failing_question_is_a_record_and_is_tried_again(controller, undisturbed, tmp_path):
    with FakeWorker("faulty", controller, LM_CARD, faults={PROBLEMS[5].question: "error_code"}) as worker:
        words = ["--LM", "faulty", "--model_name", "faulty"]
        done = label(controller, tmp_path, *words)
        assert done.returncode == 1 and "1 error" in done.stdout
        failed = [r for r in read(tmp_path / "journal.jsonl") if r["status"] == "error"]
        assert [r["question_id"] for r in failed] == [PROBLEMS[5].id]
        assert "too long" in failed[0]["error"]["message"]
        worker.faults.clear()
        done = label(controller, tmp_path, *words)
        assert done.returncode == 0, done.stderr
    assert len(read(tmp_path / "journal.jsonl")) == 25
    lines = (tmp_path / "arithmetic-aps-v2.jsonl").read_text().replace('"policy": "faulty"', '"policy": "policy"')
    assert lines == (undisturbed / "arithmetic-aps-v2.jsonl").read_text()


@pytest.mark.slow
def test_services_that_vanish_stop_the_run_after_a_while_and_it_goes_on_later(controller, undisturbed, tmp_path):
    words = ["--LM", "leaving", "--num_worker", 2, "--patience", 5]
    with FakeWorker("leaving", controller, LM_CARD, delay=0.05):
        running = subprocess.Popen(
            command(*WORDS, *words, "--controller_addr", controller, "--output_dir", tmp_path, script=SCRIPT),
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": ""},
        )  # fmt: skip
        journal = tmp_path / "journal.jsonl"
        while not (journal.exists() and journal.read_bytes().count(b"\n") >= 2):
            assert running.poll() is None
            time.sleep(0.02)
    _, said = running.communicate(timeout=100)
    assert running.returncode == 2
    assert "waiting up to 5 s" in said
    assert "finished questions are kept" in said.splitlines()[-1]
    assert "no answer for 5 s" in said.splitlines()[-1]
    with FakeWorker("leaving", controller, LM_CARD):
        done = label(controller, tmp_path, *words)
    assert done.returncode == 0, done.stderr
    lines = (tmp_path / "arithmetic-aps-v2.jsonl").read_text().replace('"policy": "leaving"', '"policy": "policy"')
    assert lines == (undisturbed / "arithmetic-aps-v2.jsonl").read_text()


def test_questions_come_from_a_file_as_openr_takes_it(services, tmp_path):
    rows = [{"problem": p.question, "final_answer": p.answer} for p in PROBLEMS[:3]]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    outputs = []
    for name in ("list.json", "lines.jsonl"):
        done = label(services, tmp_path / name.partition(".")[0], "--question_file", tmp_path / name)
        assert done.returncode == 0, done.stderr
        outputs.append((tmp_path / name.partition(".")[0] / "arithmetic-aps-v2.jsonl").read_bytes())
    assert outputs[0] == outputs[1] != b""


def test_a_question_that_cannot_be_asked_is_left_out_and_counted(services, tmp_path):
    rows = [{"problem": p.question, "final_answer": p.answer} for p in PROBLEMS[:3]]
    rows[1]["problem"] = "9 + 3 \ud83d"
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = label(services, tmp_path / "out", "--question_file", tmp_path / "rows.jsonl")
    assert done.returncode == 0, done.stderr
    assert "1 of 3 questions cannot be asked and are left out, such as 1: it holds half a character" in done.stderr
    assert {r["question_id"] for r in read(tmp_path / "out" / "journal.jsonl")} == {"0", "2"}


BAD = {
    "a split that the task lacks": (["--task_name", "MATH"], "give --question_file a JSONL file"),
    "no such file": (["--question_file", "/no/such.jsonl"], "/no/such.jsonl"),
    "a torn line": (["--question_file", "{torn}"], "torn.jsonl, line 2"),
    "a missing field": (["--question_file", "{field}"], "field.jsonl, line 1: final_answer or answer: text is needed"),
    "not a list of objects": (["--question_file", "{list}"], "line 2: an object is needed, not 3"),
    "budget below the root's rollouts": (["--rollout_budget", 4], "rollout_budget"),
    "greedy rollouts": (["--temperature", 0], "temperature"),
    "shard 0": (["--shard", "0/3"], "--shard"),
    "shard word": (["--shard", "one"], "--shard"),
    "neither True nor False": (["--save_data_tree", "false"], "True or False"),
    "unknown preset": (["--preset", "mine"], "--preset"),
    "unknown model": (["--LM", "nobody"], "nobody"),
    "unknown task": (["--task_name", "gsm9k"], "gsm9k"),
    "no controller": (["--controller_addr", "http://127.0.0.1:9"], "http://127.0.0.1:9"),
    "an output folder that is a file": (["--output_dir", "{torn}"], "torn.jsonl"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_exit_status_2(services, tmp_path, case):
    texts = {"torn": '{"problem": "1 + 1", "answer": "2"}\n{"problem": ', "field": '{"problem": "1 + 1"}\n'}
    files = {name: tmp_path / f"{name}.jsonl" for name in (*texts, "list")}
    for name, text in texts.items():
        files[name].write_text(text)
    files["list"].write_text('[{"problem": "1 + 1", "answer": "2"}, 3]')
    extra, named = BAD[case]
    done = label(services, tmp_path / "out", *(str(word).format(**files) for word in extra))
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and named in done.stderr, done.stderr
    assert done.stderr.startswith("run_omegaprm.py: ")


def test_a_full_disk_is_named_and_nothing_is_lost(services, undisturbed, tmp_path):
    words = command(*WORDS, "--controller_addr", services, "--output_dir", tmp_path, script=SCRIPT)
    small = "trap '' XFSZ; ulimit -f 8; exec " + " ".join(words)  # files of at most 4 KiB or 8 KiB
    full = subprocess.run(["sh", "-c", small], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert full.returncode == 2
    assert "journal.jsonl: cannot be written" in full.stderr.splitlines()[-1]
    done = label(services, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "arithmetic-aps-v2.jsonl").read_bytes() == (undisturbed / "arithmetic-aps-v2.jsonl").read_bytes()


def test_openr_flags_are_known_and_booleans_can_be_false(services, tmp_path):
    words = "--save_data_tree False --device cuda --model_type vllm --top_k 30 --top_p .9 --c_puct .125 --alpha .5 "
    done = label(services, tmp_path, *(words + "--beta .9 --length_scale 500 --limit 6").split())
    assert done.returncode == 0, done.stderr
    assert "note: --device is settled where the services are started" in done.stderr
    assert all(isinstance(line["reasoning_steps"], list) for line in read(tmp_path / "arithmetic-aps-v2.jsonl"))


def test_labels_are_named_after_their_task():
    assert run_omegaprm.labels_file("MATH") == "math-aps-v2.jsonl"  # OpenR's name
    assert run_omegaprm.labels_file("arithmetic") == "arithmetic-aps-v2.jsonl"


def test_the_client_imports_no_engine():
    code = "import sys\nfrom data.omegaprm import consensus, labeller, merge, run_omegaprm\n"
    code += "print([m for m in ('torch', 'transformers', 'vllm') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
    done = inside(run_omegaprm.main, "--help")
    assert done.returncode == 0 and "--rollout_budget" in done.stdout
