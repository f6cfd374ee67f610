"""From labelled solutions to what a judge is fine-tuned on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from envs.base_env import load_task
from prm.benchmarks.cases import Case
from prm.generative.make_data import main
from prm.generative.rationales import JudgeWriter, PolicyWriter, verified
from prm.generative.verdicts import labelled, read_verdict, row
from reason.inference.base import Sample, Sampling
from reason.inference.judge import judge_prompt
from reason.inference.ledger import Ledger
from reason.model_cards import card as cards
from tests.fakes import FakeLM, solve_text

CARD, REASONING = cards.find("openr-tiny-judge", "prm"), cards.find("openr-tiny-reasoning-judge", "prm")
CASE = Case("f, line 1", "a", "1 + 2 + 3 * 2", ("3 * 2 = 6; 1 + 2 + 6", "1 + 2 = 4; 4 + 6", "4 + 6 = 10"), (1, 0, 0))


def test_one_row_a_step_up_to_the_first_wrong_one() -> None:
    rows = [row(CARD, CASE, index) for index in labelled(CASE)]
    assert [(r["completion"], r["label"], r["id"]) for r in rows] == [("Yes", 1, "a#1"), ("No", 0, "a#2")]
    assert rows[1]["prompt"] == "1 + 2 + 3 * 2\n3 * 2 = 6; 1 + 2 + 6\n1 + 2 = 4; 4 + 6\n<|check|>"
    assert rows[1]["prompt"] == judge_prompt(CARD, CASE.question, CASE.steps[:2]), "training reads what inference reads"
    assert list(labelled(CASE, after_first_error=True)) == [0, 1, 2]
    assert list(labelled(replace(CASE, labels=(-1, 1, -1)))) == [1]


def test_a_verdict_is_what_follows_the_first_end() -> None:
    assert REASONING.rationale is not None
    card = replace(REASONING, rationale=replace(REASONING.rationale, end="Verdict:"), good=" Yes", bad=" No")
    assert read_verdict(card, "so it is. Verdict: Yes, sure") == ("so it is. Verdict:", 1)
    assert read_verdict(card, "Verdict:No Verdict: Yes") == ("Verdict:", 0)
    for text in ("", "Yes", "Verdict:", "Verdict: maybe. Verdict: Yes", "x" * 30_000 + "Verdict: Yes"):
        assert read_verdict(card, text) is None


async def test_the_policy_writes_the_step_anew() -> None:
    """The fake policy errs in 15 % of its steps: what it writes is kept where its verdict is the label."""
    steps = [line + "\n" for line in solve_text("1 + 2 + 3 * 2\n", 0, 1.0, (), error_rate=0).splitlines()]
    case = Case("f", "a", "1 + 2 + 3 * 2", tuple(s.strip() for s in steps), (1,) * len(steps))
    writer = PolicyWriter(REASONING, FakeLM(), load_task("arithmetic"))
    rows, counts = await verified(REASONING, writer, case, range(len(steps)), samples=16, seed=0)
    assert [r["completion"] for r in rows] == [step.strip() + "\nYes" for step in steps]
    assert counts["written"] == 16 * len(steps)
    assert 0.5 * counts["written"] < counts["agreed"] < counts["written"]
    wrong = replace(case, steps=("1 + 2 = 13; 13 + 3 * 2", *case.steps[1:]), labels=(0, -1, -1))
    rows, _ = await verified(REASONING, writer, wrong, [0], samples=16, seed=0)
    assert [r["completion"] for r in rows] == [steps[0] + "No"], "the wrong step written again would say Yes"
    assert await verified(REASONING, writer, case, [1], 16, 0) == await verified(REASONING, writer, case, [1], 16, 0)


async def test_a_judge_is_asked_as_in_use() -> None:
    class Scripted(FakeLM):
        async def generate(
            self, prompt: str | Sequence[int], sampling: Sampling, seeds: Sequence[int], ledger: Ledger
        ) -> list[Sample]:
            assert isinstance(prompt, str)
            assert prompt == judge_prompt(REASONING, CASE.question, CASE.steps[: prompt.count("\n") - 1])
            assert not sampling.stop
            texts = ["1 + 2 = 3\nNo", "1 + 2 = 4\nYes", "hm\nwell", "1 + 2 = 3\nNo"]
            return [Sample(text, 5, "stop") for text in texts]

    rows, counts = await verified(REASONING, JudgeWriter(REASONING, Scripted()), CASE, [0, 1], samples=4, seed=0)
    assert [(r["completion"], r["id"]) for r in rows] == [("1 + 2 = 4\nYes", "a#1"), ("1 + 2 = 3\nNo", "a#2")]
    assert counts == {"written": 8, "agreed": 3, "unreadable": 2, "steps": 2, "steps_kept": 2}


def write(path: Path, *rows: dict) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


SOLUTION = {"question": CASE.question, "steps": list(CASE.steps), "labels": list(CASE.labels), "id": "a"}


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both formats; equal rows are one; a bad row is named, or skipped and counted."""
    flat = {"question": "q", "process": "s1 \n\n\n\n\n s2 \n\n\n\n\n", "label": ["+", "-"]}
    good, out = write(tmp_path / "good.jsonl", SOLUTION, SOLUTION, flat), tmp_path / "out.jsonl"
    assert main([str(good), "--card", "openr-tiny-judge", "--out", str(out)]) == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [r["completion"] for r in rows] == ["Yes", "No", "Yes", "No"]
    assert rows[3]["prompt"] == "q\ns1\ns2\n<|check|>"
    assert "repeated 2" in capsys.readouterr().out
    bad = write(tmp_path / "bad.jsonl", SOLUTION, SOLUTION | {"labels": [1]})
    assert main([str(bad), "--card", "openr-tiny-judge", "--out", str(out)]) == 2
    assert "bad.jsonl, line 2" in capsys.readouterr().err
    assert main([str(bad), "--card", "openr-tiny-judge", "--out", str(out), "--skip_bad_rows"]) == 0
    assert len(out.read_text().splitlines()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--card", "openr-tiny-prm"], "head token_logits"),
        (["--card", "openr-tiny-judge", "--LM", "x"], "leave out"),
        (["--card", "openr-tiny-reasoning-judge"], "--RM or --LM"),
        (["--card", "none-such"], "no card"),
        (
            ["--card", "openr-tiny-reasoning-judge", "--LM", "x", "--controller_addr", "http://127.0.0.1:9"],
            "controller",
        ),
    ],
)
def test_bad_input_is_one_line(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, out = write(tmp_path / "in.jsonl", SOLUTION), tmp_path / "out.jsonl"
    assert main([str(file), "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()
