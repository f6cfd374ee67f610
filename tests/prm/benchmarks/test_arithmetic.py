"""`python prm/evaluate.py arithmetic`: the oracle is the truth, baselines stand beside."""

import json

import pytest

from prm.benchmarks.arithmetic import back, choose, wrong_questions
from prm.benchmarks.baselines import baselines, features
from prm.benchmarks.cases import Case, ScoredCases
from reason.evaluation import records
from reason.model_cards.card import to_dict
from tests.fakes import LM_CARD
from tests.prm.benchmarks.conftest import PROBLEMS, by_name, evaluate, result_of, sample_rows, solutions, write


@pytest.fixture(scope="session")
def samples(tmp_path_factory):
    return write(tmp_path_factory.mktemp("samples") / "samples.jsonl", sample_rows())


def run(data, out, rm, *words):
    assert evaluate("arithmetic", *data, "--RM", rm, "--out", out, *words) == 0
    return result_of(out)


def run_folder(path, failed=()):
    """A run of the same samples."""
    config = {"method": "best_of_n", "dataset": {"task": "arithmetic"}, "cards": {"LM": to_dict(LM_CARD)}}
    folder = records.create(path, "arithmetic", "best_of_n", json.loads(json.dumps(config)))
    for problem in PROBLEMS[:-1]:
        output = [{"text": "".join(steps)} for p, steps, _ in solutions() if p is problem]
        folder.append({
            "id": problem.id, "question": problem.question, "output": [*output, {"text": ""}], "result": {},
            "ledger": {}, "error": {"type": "x"} if problem.id in failed else None, "level": None, "undecided": 0,
            "elapsed": 0.0,
        })  # fmt: skip
    folder.close()
    return folder.path


def test_the_oracle_is_perfect_and_noise_shows(samples, tmp_path):
    data = ("--data_path", samples)
    exact = run(data, tmp_path / "a", "oracle")
    own = by_name(exact["steps"], name="oracle")
    assert own["auc"] == 1 and own["ece"] == 0
    assert all(row["f1"] == 1 for row in exact["first_error"] if row["name"] == "oracle")
    noisy = run(data, tmp_path / "b", "oracle:noise=0.2")
    assert 0.6 < by_name(noisy["steps"], name="oracle:noise=0.2")["auc"] < 0.95
    baseline = [row for row in exact["steps"] if row["name"].startswith("baseline")]
    assert len(baseline) == 4 and all(row["auc"] < 0.95 and row["steps"] == own["steps"] for row in baseline)
    assert by_name(exact["steps"], name="oracle, wrong question")["auc"] == pytest.approx(0.5, abs=0.1)
    assert all((tmp_path / "a" / f"baselines.{kind}").stat().st_size > 1000 for kind in ("png", "svg"))


def test_a_run_gives_what_its_samples_in_a_file_give(samples, tmp_path):
    from_file = run(("--data_path", samples), tmp_path / "a", "oracle:noise=0.2", "--threshold", "0.3")
    from_run = run(("--run", run_folder(tmp_path)), tmp_path / "b", "oracle:noise=0.2", "--threshold", "0.3")
    # the oracle's noise hangs on the problem's id, which the file does not have: the truth is the same
    for name in ("first_error", "steps"):
        assert [(row["name"], row.get("steps"), row.get("wrong_solutions")) for row in from_file[name]] == [
            (row["name"], row.get("steps"), row.get("wrong_solutions")) for row in from_run[name]
        ]
    assert from_file["data"] == from_run["data"] or from_file["data"][0]["sha256"] == from_run["data"][0]["sha256"]
    assert "23 solutions without any text have no step to score." in from_run["notes"]


def test_failed_questions_of_a_run_are_counted(tmp_path):
    result = run(("--run", run_folder(tmp_path, failed={PROBLEMS[0].id})), tmp_path / "out", "oracle")
    assert any(note.startswith("1 questions of") for note in result["notes"])


def test_steps_may_come_as_text(samples, tmp_path):
    texts = [{"question": row["question"], "text": "".join(row["steps"])} for row in sample_rows()]
    other = run(("--data_path", write(tmp_path / "texts.jsonl", texts)), tmp_path / "b", "oracle")
    assert other["first_error"] == run(("--data_path", samples), tmp_path / "a", "oracle")["first_error"]


def test_a_served_prm_is_judged_the_same_way(samples, tmp_path, controller):
    result = run(("--data_path", samples), tmp_path / "out", "prm", "--controller_addr", controller)
    assert by_name(result["steps"], name="prm")["auc"] == 1


def make(question, *steps):
    return Case("p", "", question, steps, (1,) * len(steps))


def test_which_solutions_are_chosen_is_told():
    notes = []
    cases = [make("a", "1"), make("a", "1"), make("a", "2"), make("a", "3"), make("b", "1"), make("c", "1")]
    assert choose(cases, 2, 2, notes) == [cases[0], cases[2], cases[4]]
    assert notes == [
        "3 different solutions of 2 questions; 1 repeated ones and 2 beyond --per_problem 2 or --limit 2 are left out."
    ]


def test_the_wrong_question_is_never_the_right_one():
    cases = [make("a", "1"), make("b", "1"), make("b", "2")]
    assert [case.question for case in wrong_questions(cases)] == ["b", "a", "a"]
    assert wrong_questions(cases[1:]) == []


def test_scores_under_wrong_questions_stay_with_their_solutions():
    cases = [make("a", "1"), make("b", "1"), make("b", "2")]
    others = wrong_questions(cases)
    found = back(ScoredCases("x", [others[0], others[2]], [[0.1], [0.3]]), others, cases)
    assert found.cases == [cases[0], cases[2]] and found.scores == [[0.1], [0.3]], "one without a score is left out"


def test_a_baseline_learns_what_its_feature_says_and_is_measured_on_other_questions():
    cases = [Case("p", "", f"q{i}", ("1 + 1 = 2", "5 + 5 = 10", "x"), (1, 1, 0)) for i in range(60)]
    found = {one.name: one.scores for one in baselines(cases)}
    assert set(found) == {f"baseline: {name}" for name in
                          ("step index", "length", "magnitude", "index, length and magnitude")}  # fmt: skip
    assert all(right > 0.9 and wrong < 0.1 for right, _, wrong in found["baseline: step index"])
    assert baselines([Case("p", "", f"q{i}", ("1",), (1,)) for i in range(9)]) == []
    assert features(3, "17 + 25 = -42; 8") == [3, 16, 42, 92, -42]


@pytest.mark.parametrize("row, message", [
    ({"question": "What is love?", "steps": ["1 + 1 = 2"]}, "question: is not of the arithmetic task"),
    ({"question": "1 + 1", "text": ""}, "text: is empty"),
    ({"question": "1 + 1", "steps": []}, "steps: is empty"),
    ({"question": "1 + 1", "steps": [1]}, "steps[0]: text is needed"),
    ({"question": "1 + 1"}, "text: text is needed, it is missing"),
])  # fmt: skip
def test_bad_samples_are_one_line(tmp_path, capsys, row, message):
    path = write(tmp_path / "samples.jsonl", [*sample_rows(per_problem=1)[:1], row])
    assert evaluate("arithmetic", "--data_path", path, "--RM", "oracle", "--out", tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"evaluate.py: {path}, line 2: ") and message in line


def test_bad_runs_are_one_line(tmp_path, capsys):
    folder = run_folder(tmp_path)
    (folder / "record.jsonl").write_text('{"id": 1}\n')
    other = run_folder(tmp_path)
    (other / "config.json").write_text('{"dataset": {"task": "MATH"}, "cards": {"LM": {"step_separator": "x"}}}')
    for path, message in [(tmp_path, "cannot be read"), (folder, "line 1: not a record"), (other, "only arithmetic")]:
        assert evaluate("arithmetic", "--run", path, "--RM", "oracle", "--out", tmp_path / "out") == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line
