"""Models and files as people have them: what cannot be trained on is left out or refused, in a line that is right."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from reason.inference.base import Sampling
from reason.inference.ledger import Ledger
from tests.fakes import ROOT
from tests.prm.tiny import save_prm
from tests.reason.engine.tiny import save_policy
from tests.train.mat.runner.test_run import arguments, rows, run_folder
from train.mat.agents.policy import load
from train.mat.runner.checkpoint import load_state
from train.mat.runner.engines import OwnLM
from train.mat.train_llm import main


def data_of(path: Path, *questions: str) -> Path:
    path.write_text("".join(json.dumps({"question": q, "answer": "7"}) + "\n" for q in questions), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("1 + " * 300 + "1", "tokens, the model's context 256"),
        ("9 + 3 \ud83d", "not valid Unicode"),
        ("\udc80", "not valid Unicode"),
        ("7" * 255, "tokens, the model's context 256"),
    ],
)
def test_a_question_that_cannot_be_asked_is_left_out_and_counted(
    bad: str, why: str, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = data_of(tmp_path / "train.jsonl", "1 + 2", bad, "3 + 4")
    held_out = data_of(tmp_path / "dev.jsonl", "5 + 6", f"{bad} + 1")
    more = ["--dataset_path", train, "--eval_dataset_path", held_out, "--num_updates", "2"]
    assert main(without_level(arguments(policy, tmp_path / "run", *more))) == 0
    error = capsys.readouterr().err
    for counts in ("1 of 3", "1 of 2"):
        assert f"{counts} questions cannot be asked and are left out" in error
    assert why in error


def without_level(words: list[str]) -> list[str]:
    """Of a task whose rows hold any question."""
    at = words.index("--level")
    return [*words[:at], *words[at + 2 :], "--task_name", "MATH"]


def test_no_question_is_left(policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = data_of(tmp_path / "train.jsonl", "1 + " * 300 + "1")
    held_out = data_of(tmp_path / "dev.jsonl", "5 + 6")
    more = ["--dataset_path", train, "--eval_dataset_path", held_out]
    assert main(without_level(arguments(policy, tmp_path / "run", *more))) == 2
    assert "1 of 1 questions cannot be asked" in capsys.readouterr().err


def test_a_run_that_learns_nothing_says_so_and_ends_with_status_1(
    policy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """A random policy is never right, and nothing else is paid for here."""
    words = arguments(policy, tmp_path, "--length_weight", "0", "--num_updates", "2")
    assert main(words) == 1
    assert "nothing was learnt: the solutions of each question were rewarded alike" in caplog.text
    error = capsys.readouterr().err
    assert "no solution of 2 updates had a gradient" in error and "--temperature" in error
    folder = run_folder(tmp_path)
    assert [row["with_gradient"] for row in rows(folder)[1:]] == [0.0, 0.0]
    state = load_state(folder)
    assert state is not None and state["learnt"] == 0


def damaged(folder: Path, value: float) -> Path:
    """The model's weights are all this number."""
    weights = load_file(folder / "model.safetensors")
    save_file({name: torch.full_like(weight, value) for name, weight in weights.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})  # fmt: skip
    return folder


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_policy_of_no_numbers_is_named_as_such(
    value: float, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = damaged(save_policy(tmp_path / "policy"), value)
    assert main(arguments(folder, tmp_path / "run")) == 2
    error = capsys.readouterr().err
    assert str(folder) in error and "no finite numbers" in error and "output layer" not in error


def test_a_prm_of_no_numbers_is_named_by_its_own_flag(
    policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = damaged(save_prm(tmp_path / "prm"), float("nan"))
    assert main(arguments(policy, tmp_path / "run", "--prm_name_or_path", folder)) in (1, 2)
    error = capsys.readouterr().err
    assert "PRM" in error or "--prm_name_or_path" in error
    assert "--model_path" not in error


@pytest.mark.parametrize("modules", [("q_proj", "lm_head"), ("lm_head",), ("lm_head", "v_proj")])
def test_an_adapter_on_a_tied_layer_is_refused(
    modules: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = save_policy(tmp_path / "policy")
    more = ["--lora_r", "4", "--lora_modules", *modules]
    assert main(arguments(folder, tmp_path / "run", *more)) == 2
    error = capsys.readouterr().err
    assert "--lora_modules lm_head: this model's embed_tokens and lm_head are one matrix" in error


async def test_a_stop_text_that_is_a_special_token_stops_a_sample(policy: Path) -> None:
    """Decoded texts never show it. Every token of the vocabulary that is special will do."""
    loaded = load(str(policy), None, Sampling(max_tokens=60), "cpu", "fp32")
    special = {t.content: i for i, t in loaded.tokenizer.added_tokens_decoder.items() if t.special}
    text, number = next((t, i) for t, i in special.items() if i not in loaded.end_ids)
    with torch.no_grad():
        loaded.causal.get_output_embeddings().weight[number] = loaded.causal.get_output_embeddings().weight[5]
    loaded.card = replace(loaded.card, stop=(text,))
    lm = OwnLM(loaded, rows=8)
    await lm.push(loaded.plain_weights())
    try:
        ids = loaded.tokenizer.encode("1 + 2\n")
        sampling = replace(loaded.sampling, stop=loaded.card.stop)
        samples = await lm.generate(ids, sampling, list(range(64)), Ledger())
    finally:
        await lm.close()
    stopped = [sample for sample in samples if number in sample.token_ids]
    assert stopped
    for sample in stopped:
        assert sample.finish_reason == "stop" and sample.token_ids.index(number) == len(sample.token_ids) - 1


def test_questions_of_a_file_need_no_level(tmp_path: Path) -> None:
    """test_llm.sh gives the level of the task's own questions only where there is no file."""
    told = tmp_path / "told.txt"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >>{told}\n')
    python.chmod(0o755)
    script = ROOT / "train/mat/scripts/test_llm.sh"
    for words, level in ((["--data_path", "F"], False), ([], True), (["--level", "3"], False)):
        told.write_text("")
        subprocess.run(
            ["sh", script, *words], env={"PATH": "/usr/bin:/bin", "PYTHON": str(python)}, timeout=60, check=True
        )
        asked = [line for line in told.read_text().splitlines() if "evaluate" in line]
        assert len(asked) == 1 and ("--level 5" in asked[0]) == level
