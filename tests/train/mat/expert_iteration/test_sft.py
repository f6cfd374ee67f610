"""Fine-tuning on solutions: what is learnt, that it is learnt, how it is saved and resumed."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from prm.benchmarks.cases import Skips
from prm.generative.verdicts import VerdictRow
from reason.engine.request import encode_prompt
from reason.inference.base import Sampling
from reason.model_cards import card as cards
from tests.train.mat.families import save_family
from train.core import fit
from train.core.plan import collate
from train.mat.agents.policy import Policy, load
from train.mat.expert_iteration.sft import main
from train.mat.expert_iteration.student import SolutionStudent, encode, encode_all

ROWS = [(f"{a} + {b}", f"{a} + {b} = {a + b}") for a in range(1, 5) for b in (2, 7)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_family(tmp_path_factory.mktemp("policy"), "qwen2")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"prompt": p, "completion": c, "id": p}) + "\n" for p, c in ROWS))
    return file


def loaded(folder: Path, **options: Any) -> Policy:
    return load(str(folder), None, Sampling(), "cpu", "fp32", **options)


def test_only_the_solution_and_its_end_are_learnt(base: Path) -> None:
    """Against transformers' own loss with the prompt masked; solutions of different length in one pass."""
    policy = loaded(base)
    texts = [("10 + 20 + 3", "10 + 20 = 30; 30 + 3\n30 + 3 = 33"), ("1 + 2", "1 + 2 = 3")]
    examples = [encode(*one, policy) for one in texts]
    one = collate(examples)
    with torch.no_grad():
        ours = SolutionStudent(policy).losses(one)
    for row, ((prompt, completion), example) in enumerate(zip(texts, examples)):
        before = encode_prompt(policy.tokenizer, prompt + "\n")
        learnt = [example.ids[i + 1] for i in example.positions]
        assert learnt[-1] == policy.tokenizer.eos_token_id
        assert policy.tokenizer.decode(learnt[:-1]) == completion
        assert example.ids.tolist() == before + learnt
        labels = torch.tensor([[-100] * len(before) + learnt])
        with torch.no_grad():
            theirs = policy.model(input_ids=torch.tensor([example.ids]), labels=labels).loss
        assert ours[one.rows == row].mean().item() == pytest.approx(theirs.item(), rel=1e-4)


def test_a_chat_policy_learns_behind_its_template(base: Path, tmp_path: Path) -> None:
    policy = loaded(base)
    policy.card = cards.LMCard("chat", chat_template="{% for m in messages %}<{{ m.content }}>{% endfor %}")
    example = encode("1 + 2", "1 + 2 = 3", policy)
    assert policy.tokenizer.decode(example.ids[: example.positions[0] + 1]) == "<1 + 2>"


def words(base: Path, data: Path, folder: Path, *more: Any) -> list[str]:
    """A command line of 24 updates."""
    found = ["--model_path", base, "--data", data, "--output_dir", folder, "--num_train_epochs", 12,
             "--total_batch_size", 4, "--learning_rate", "3e-3", "--logging_steps", 1, *more]  # fmt: skip
    return list(map(str, found))


def losses(folder: Path) -> list[float]:
    """Of all updates."""
    state = json.loads((folder / "trainer_state.json").read_text())
    return [entry["loss"] for entry in state["log_history"] if "loss" in entry]


@pytest.mark.parametrize("more", [(), ("--lora_r", 8)])
def test_the_loss_falls_and_the_folder_is_a_plain_model(
    more: tuple[Any, ...], base: Path, data: Path, tmp_path: Path
) -> None:
    assert main(words(base, data, tmp_path / "trained", *more)) == 0
    found = losses(tmp_path / "trained")
    assert found[-1] < 0.7 * found[0]
    assert not (tmp_path / "trained/adapter_config.json").exists()
    assert cards.find(str(tmp_path / "trained"), "lm") == loaded(base).card
    AutoTokenizer.from_pretrained(tmp_path / "trained")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "trained")
    policy = loaded(base)
    one = collate([encode(*row, policy) for row in ROWS])
    policy.model = model
    with torch.no_grad():
        after = SolutionStudent(policy).losses(one).mean().item()
    assert after == pytest.approx(found[-1], abs=0.3)


@pytest.mark.parametrize("more", [(), ("--lora_r", 4)])
def test_a_training_that_was_stopped_goes_on_to_the_same_losses(
    more: tuple[Any, ...], base: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(words(base, data, tmp_path / "whole", "--save_steps", 5, *more)) == 0
    real, count = fit.update, itertools.count(1)

    def until_the_eighth(*args: Any, **kwargs: Any) -> dict[str, float]:
        if next(count) == 8:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    stopped = words(base, data, tmp_path / "stopped", "--save_steps", 5, *more)
    with monkeypatch.context() as patch:
        patch.setattr(fit, "update", until_the_eighth)
        assert main(stopped) == 130
    assert main([*stopped, "--resume"]) == 0
    assert losses(tmp_path / "stopped") == pytest.approx(losses(tmp_path / "whole"), rel=1e-5)


def test_rows_that_cannot_be_learnt_are_named(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = loaded(base)
    completions = (" ", "1" * 300, "1 = 1")
    rows = [
        (f"f, line {line}", VerdictRow(prompt="1", completion=completion, label=-1, id=""))
        for line, completion in enumerate(completions, 1)
    ]
    skips = Skips(True)
    assert len(encode_all(rows, policy, skips)) == 1
    assert "line 1: the completion is empty" in skips.messages[0] and "the 256 of" in skips.messages[1]
    file = tmp_path / "rows.jsonl"
    file.write_text('{"prompt": "1"}\n')
    assert main(words(base, file, tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert "line 1: completion" in error and "expert_iteration.collect" in error and error.count("\n") == 1
