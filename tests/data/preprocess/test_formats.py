"""Each public format, hand-written, and what it must become to the letter."""

import copy
import random
import runpy

import pytest

from data.preprocess import cli, prm800k
from data.preprocess.common import ReadingOptions
from tests.data.preprocess.samples import (
    FLAT,
    MATH_SHEPHERD,
    PRM800K,
    PROCESSBENCH,
    QUESTION,
    TREE,
    brief,
    convert,
    write,
)
from tests.fakes import ROOT

FIRST, HUMAN, LAST = "Multiply first.", "3 * 4 = 12.", "2 + 12 = 14.\n\n# Answer\n\n14"


def test_prm800k(tmp_path):
    rows = convert(tmp_path, "prm800k", [PRM800K])
    assert rows[0] == {
        "question": QUESTION, "steps": [FIRST, HUMAN, LAST], "labels": [1, 1, 1],
        "source": "prm800k", "id": "rows:1:0",
    }  # fmt: skip
    assert brief(rows[1:]) == [
        ([FIRST, "3 * 4 = 7."], [1, 0]),
        ([FIRST, "2 + 3 = 5."], [1, 0]),
        ([FIRST, HUMAN, "Let me think."], [1, 1, -1]),
        ([FIRST, HUMAN, "So 15."], [1, 1, -1]),
    ]
    assert [row["id"] for row in rows] == [f"rows:1:{n}" for n in range(5)]


def test_prm800k_neutral_ratings(tmp_path):
    def label(*options):
        return convert(tmp_path, "prm800k", [PRM800K], *options)[3]["labels"][-1]

    assert (label(), label("--neutral-is-bad"), label("--neutral-is-good")) == (-1, 0, 1)


def test_prm800k_in_openrs_form(tmp_path):
    rows = convert(tmp_path, "prm800k", [PRM800K], "--openr", "--add-step-prefix")
    tag = " \n\n\n\n\n"
    assert rows[0] == {
        "question": QUESTION,
        "process": f"Step 1: {FIRST}{tag} Step 2: {HUMAN}{tag} Step 3: {LAST}{tag}",
        "label": ["+", "+", "+"],
    }
    assert [row["label"] for row in rows[1:]] == [["+", "-"], ["+", "-"], ["+", "+", "+"], ["+", "+"]]
    bad = convert(tmp_path, "prm800k", [PRM800K], "--openr", "--neutral-is-bad")
    assert bad[3]["label"] == ["+", "+", "-"]


def test_prm800k_nothing_follows_a_step_that_was_not_chosen(tmp_path, capsys):
    row = copy.deepcopy(PRM800K)
    row["label"]["steps"][1]["human_completion"] = None
    assert brief(convert(tmp_path, "prm800k", [row])) == [
        ([FIRST, "3 * 4 = 7."], [1, 0]),
        ([FIRST, "2 + 3 = 5."], [1, 0]),
    ]
    assert "1 steps after one without a chosen completion left out" in capsys.readouterr().out


def test_prm800k_every_alternative_is_there_once_and_in_its_context(tmp_path):
    """For any row: one solution a distinct completion that is not gone on from, and one for the trajectory."""
    make_row = runpy.run_path(str(ROOT / "scripts" / "bench" / "preprocess.py"))["make_row"]
    draw = random.Random(1)
    for index in range(40):
        row = make_row(draw, 1 + index % 2)
        trajectory, expected = [], set()
        for step in row["label"]["steps"]:
            texts = [c["text"] for c in step["completions"]]
            expected |= {(*trajectory, text) for text in texts}
            index = step["chosen_completion"]
            human = step["human_completion"]
            if human:
                expected.add((*trajectory, human["text"]))
            trajectory.append(human["text"] if human else texts[index] if index is not None else None)
        solutions = list(prm800k.read(row, ReadingOptions()))
        judged = {tuple(s.steps[: i + 1]) for s in solutions for i in range(len(s.steps))}
        assert judged == expected
        assert len({tuple(s.steps) for s in solutions}) == len(solutions)


def test_prm800k_a_step_without_completions_needs_a_human_one(tmp_path):
    row = copy.deepcopy(PRM800K)
    row["label"]["steps"][1]["completions"] = None
    assert brief(convert(tmp_path, "prm800k", [row]))[0] == ([FIRST, HUMAN, LAST], [1, 1, 1])


def test_math_aps_tree_and_flat_agree(tmp_path):
    tree = convert(tmp_path, "math-aps-tree", [TREE])
    flat = convert(tmp_path, "math-aps", [FLAT])
    assert tree == [
        {
            "question": QUESTION, "steps": ["Multiply first.", "3 * 4 = 12.\n\n2 + 12 = 14."],
            "labels": [1, 1], "values": [0.5, 1.0], "source": "math-aps-tree", "id": "rows:1:0",
        },
        {
            "question": QUESTION, "steps": ["Multiply first.", "3 * 4 = 7."],
            "labels": [1, 0], "values": [0.5, 0.0], "source": "math-aps-tree", "id": "rows:1:1",
        },
        {
            "question": QUESTION, "steps": ["It is 14."],
            "labels": [1], "values": [1.0], "source": "math-aps-tree", "id": "rows:1:2",
        },
    ]  # fmt: skip
    assert [row | {"source": "math-aps-tree"} for row in flat] == tree


def test_math_aps_openrs_threshold(tmp_path):
    assert convert(tmp_path, "math-aps", [FLAT], "--hard-above", "0.5")[0]["labels"] == [0, 1]


def test_math_aps_in_openrs_form_without_the_question(tmp_path):
    for form, row in (("math-aps", FLAT), ("math-aps-tree", TREE)):
        rows = convert(tmp_path, form, [row], "--openr", "-t", r"\n\nки")
        assert rows[1] == {
            "question": QUESTION, "process": "Multiply first. \n\nки 3 * 4 = 7. \n\nки", "label": ["+", "-"],
        }  # fmt: skip
        assert all(QUESTION not in row["process"] for row in rows)
        assert all(row["process"].count("\n\nки") == len(row["label"]) for row in rows)


def test_math_aps_a_longer_line_is_not_a_further_step(tmp_path):
    """'x = 1' is not continued by 'x = 12', nor by 'x = 1 + 2'; both are steps of their own."""
    points = ["x = 1", "x = 12", "x = 1 + 2", "x = 1\n\nx = 3", "x = 1  \n\nx = 4"]
    entries = [{"solution_prefix": f"{QUESTION}\n\n{p}", "mc_value": 0.25} for p in points]
    rows = convert(tmp_path, "math-aps", [FLAT | {"reasoning_steps": entries}])
    assert [row["steps"] for row in rows] == [["x = 12"], ["x = 1 + 2"], ["x = 1", "x = 3"], ["x = 1", "x = 4"]]


def test_omegaprm_keeps_what_is_known_of_a_label(tmp_path):
    def entry(steps, value, kind, c=None, k=None):
        more = {"label": int(value > 0), "kind": kind, "c": c, "k": k, "source": "omegaprm", "policy": "p"}
        return {"solution_prefix": f"{QUESTION}\n\n{steps}".strip(), "mc_value": value, **more}

    row = FLAT | {
        "separator": "\n",
        "reasoning_steps": [
            entry("", 0.5, "estimated", 8, 16),
            entry("3 * 4 = 12; 2 + 12", 1.0, "inferred"),
            entry("3 * 4 = 12; 2 + 12\n2 + 12 = 14", 0.25, "estimated", 4, 16),
            entry("3 * 4 = 12; 2 + 12\n2 + 12 = 14\nno, 15", 0.0, "graded"),
        ],
    }
    assert convert(tmp_path, "omegaprm", [row]) == [
        {
            "question": QUESTION, "steps": ["3 * 4 = 12; 2 + 12", "2 + 12 = 14", "no, 15"], "labels": [1, 1, 0],
            "values": [None, 0.25, 0.0], "c": [None, 4, None], "k": [None, 16, None],
            "kind": ["inferred", "estimated", "graded"], "source": "omegaprm", "id": "rows:1:0",
        }
    ]  # fmt: skip
    assert convert(tmp_path, "omegaprm", [row], "--hard-above", "0.5")[0]["labels"] == [-1, 0, 0]


def test_omegaprm_a_separator_with_a_mark(tmp_path):
    entries = [
        {"solution_prefix": f"{QUESTION}\n\nA a ки\nB", "mc_value": 0.5},
        {"solution_prefix": f"{QUESTION}\n\nA a", "mc_value": 1},
    ]
    rows = convert(tmp_path, "omegaprm", [FLAT | {"separator": " ки\n", "reasoning_steps": entries}])
    assert brief(rows) == [(["A a", "B"], [1, 1])]


def test_math_shepherd(tmp_path):
    assert convert(tmp_path, "math-shepherd", [MATH_SHEPHERD]) == [
        {
            "question": "Ann has 2 pens and buys 3. How many?",
            "steps": ["2 + 3 = <<2+3=6>>6 pens.", "The answer is: 6"], "labels": [0, 0],
            "source": "math-shepherd", "id": "rows:1:0",
        }
    ]  # fmt: skip


def test_math_shepherd_signs_inside_a_step_are_no_labels(tmp_path):
    row = {
        "input": "Q? Step 1: a - b + c ки\nStep 2: Step 1: again - ки",
        "label": "Q? Step 1: a - b + c +\nStep 2: Step 1: again - -",
    }
    assert brief(convert(tmp_path, "math-shepherd", [row])) == [(["a - b + c", "Step 1: again -"], [1, 0])]


def test_processbench(tmp_path):
    right = PROCESSBENCH | {"id": "gsm8k-8", "label": -1}
    rows = convert(tmp_path, "processbench", [PROCESSBENCH, right])
    assert rows[0] == {
        "question": QUESTION, "steps": PROCESSBENCH["steps"], "labels": [1, 0, -1],
        "source": "processbench", "id": "gsm8k-7",
    }  # fmt: skip
    assert (rows[1]["labels"], rows[1]["id"]) == ([1, 1, 1], "gsm8k-8")
    flat = convert(tmp_path, "processbench", [PROCESSBENCH], "--openr")
    assert flat[0]["label"] == ["+", "-"] and "It is 15." not in flat[0]["process"]


BAD = {  # format -> (row, how it is broken, what the error says)
    "prm800k": (PRM800K, [
        (lambda r: r["label"]["steps"][2]["completions"][0].update(text=None),
         "label.steps[2].completions[0].text: text is needed, not null"),
        (lambda r: r["label"]["steps"][2]["completions"][0].update(rating=True),
         "label.steps[2].completions[0].rating: a whole number is needed, not true"),
        (lambda r: r["label"]["steps"][0]["completions"][0].update(rating=2),
         "label.steps[0].completions[0].rating: -1, 0, 1 or null is needed, not 2"),
        (lambda r: r["label"]["steps"][2].update(chosen_completion=3),
         "label.steps[2].chosen_completion: is 3, and there are 3 completions"),
        (lambda r: r.pop("question"), "question: an object is needed, it is missing"),
        (lambda r: r["question"].update(problem="  "), "question.problem: is empty"),
    ]),
    "math-aps": (FLAT, [
        (lambda r: r["reasoning_steps"][1].pop("mc_value"),
         "reasoning_steps[1].mc_value: a number from 0 to 1 or null is needed, it is missing"),
        (lambda r: r["reasoning_steps"][1].update(mc_value=float("nan")),
         "not valid JSON: NaN is no value of JSON, a missing number is written as null"),
        (lambda r: r["reasoning_steps"][2].update(solution_prefix="Multiply first."),
         "reasoning_steps[2].solution_prefix: does not begin with the question"),
        (lambda r: r["reasoning_steps"][2].update(c=3, k=2), "reasoning_steps[2].c: is 3 of k = 2"),
        (lambda r: r.update(TREE), "reasoning_steps: is a tree; read this file as math-aps-tree"),
    ]),
    "math-aps-tree": (TREE, [
        (lambda r: r["reasoning_steps"]["children"][0]["children"][1].update(text=5),
         "reasoning_steps.children[0].children[1].text: text is needed, not 5"),
        (lambda r: r["reasoning_steps"].update(text="Why?"), "reasoning_steps.text: is not the question"),
        (lambda r: r["reasoning_steps"].pop("children"), "reasoning_steps.children: a list is needed, it is missing"),
    ]),
    "math-shepherd": (MATH_SHEPHERD, [
        (lambda r: r.update(input=r["input"].replace("Step 1: ", "")),
         'input: a question and then "Step 1: " are needed'),
        (lambda r: r.update(input=r["input"] + " and?"), "input: 'ки' is needed behind each step; the text ends with"),
        (lambda r: r.update(label=r["label"].replace("pens. -", "pens. *")),
         'label: `input` with "+" or "-" for each ки is needed; step 1 differs'),
        (lambda r: r.update(label=r["label"] + "\nStep 3"), "label: goes on behind the last step"),
    ]),
    "processbench": (PROCESSBENCH, [
        (lambda r: r.update(label=3), "label: is 3, and there are 3 steps"),
        (lambda r: r.update(steps=["a", 1, "c"]), "steps[1]: text is needed, not 1"),
        (lambda r: r.update(steps=[]), "steps: is empty"),
    ]),
}  # fmt: skip


@pytest.mark.parametrize(
    ("form", "sample", "spoil", "message"),
    [(form, sample, *case) for form, (sample, cases) in BAD.items() for case in cases],
)
def test_an_error_names_file_line_and_field(tmp_path, capsys, form, sample, spoil, message):
    bad = copy.deepcopy(sample)
    spoil(bad)
    path = write(tmp_path / "rows.jsonl", [sample, bad, sample])
    assert cli.main([form, str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"cli.py: {path}, line 2: {message}") and error.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["rows.jsonl"]
    assert cli.main([form, str(path), "--skip-bad-rows"]) == 0
    assert "1 bad rows skipped" in capsys.readouterr().out
    skipped = (tmp_path / "rows.new.jsonl").read_text().splitlines()
    assert len(skipped) == len(convert(tmp_path, form, [sample, sample]))


def test_omegaprm_is_read_as_a_tree_too(tmp_path):
    tree = convert(tmp_path, "omegaprm", [TREE])
    assert tree == convert(tmp_path, "omegaprm", [FLAT]) and len(tree) == 3
