"""The trainers as they are run: what comes out can be served, and does not depend on how the work was cut up."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from transformers import AutoModelForCausalLM

from prm.scoring.scorer import Scorer
from prm.training.run import main
from reason.model_cards import card as cards
from tests.fakes import ROOT
from tests.prm.tiny import changed, write_card
from tests.prm.training.conftest import some_rows, write
from train.core import fit

QUESTION, STEPS = "23 + 9 * 3", ["9 * 3 = 27; 23 + 27\n", "23 + 27 = 50"]


def arguments(base, data, out, *more, test=True):
    found = ["--model_path", base, "--train_data_path", data / "train.jsonl", "--output_dir", out]
    found += ["--test_data_path", data / "test.jsonl"] if test else []
    found += ["--total_batch_size", 8, "--learning_rate", 3e-3, "--logging_steps", 1, *more]
    return [str(one) for one in found]


def train(base, data, out, *more, test=True):
    """Train in this process; returns the losses of all updates."""
    assert main(None, "unused", "", arguments(base, data, out, *more, test=test)) == 0
    return history(out)


def history(out):
    log = json.loads((out / "trainer_state.json").read_text())["log_history"]
    return [entry["loss"] for entry in log if "loss" in entry]


def served(folder):
    return Scorer.load(str(folder), cards.find(str(folder), "prm"), device="cpu").score([(QUESTION, STEPS)])[0]


@pytest.fixture(scope="module")
def trained(base, data, tmp_path_factory):
    """All weights trained, two epochs."""
    out = tmp_path_factory.mktemp("trained")
    return out, train(base, data, out, "--full", "--num_train_epochs", 2)


def test_training_lowers_the_loss_and_leaves_a_model_that_is_served(trained, base):
    out, losses = trained
    assert len(losses) == 6 and losses[-1] < losses[0]
    assert len(served(out)) == 2
    assert served(out) != pytest.approx(served(base), abs=1e-3)
    state = json.loads((out / "trainer_state.json").read_text())
    tests = [entry for entry in state["log_history"] if "eval_auc" in entry]
    assert len(tests) == 2 and {"eval_f1_at_0.5", "eval_brier"} <= set(tests[0])
    best = max(tests, key=lambda entry: entry["eval_auc"])
    assert served(out) == pytest.approx(served(out / f"checkpoint-{best['step']}"), abs=1e-6)


@pytest.mark.parametrize(
    "cut", [("--batch_tokens", "60"), ("--batch_tokens", "100000"), ("--per_device_train_batch_size", "2")]
)
def test_the_loss_does_not_depend_on_how_an_update_is_cut_into_passes(trained, base, data, tmp_path, cut):
    losses = train(base, data, tmp_path / "out", "--full", "--num_train_epochs", 2, *cut)
    assert losses == pytest.approx(trained[1], rel=1e-4, abs=1e-5)


def test_gradient_checkpointing_changes_nothing(trained, base, data, tmp_path):
    more = ("--full", "--num_train_epochs", 2, "--gradient_checkpointing")
    assert train(base, data, tmp_path / "out", *more) == pytest.approx(trained[1], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("more", [("--full",), ("--lora_dropout", 0)])
def test_bf16_is_near_to_fp32(base, data, tmp_path, more):
    more += ("--num_train_epochs", 1)
    exact = train(base, data, tmp_path / "fp32", *more, test=False)
    near = train(base, data, tmp_path / "bf16", *more, "--dtype", "bf16", "--save_dtype", "bf16", test=False)
    assert near == pytest.approx(exact, rel=0.05) and near != pytest.approx(exact, rel=1e-6)
    assert all(0 <= score <= 1 for score in served(tmp_path / "bf16"))


def test_an_interrupted_training_goes_on_to_the_same_losses(trained, base, data, tmp_path, monkeypatch, capsys):
    more = ("--full", "--num_train_epochs", 2, "--save_steps", 2)
    whole = train(base, data, tmp_path / "whole", *more)
    assert whole == pytest.approx(trained[1], abs=1e-6)
    real, seen = fit.update, []

    def interrupted(*args, **kwargs):
        seen.append(args)
        if len(seen) == 6:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(fit, "update", interrupted)
        assert main(None, "unused", "", arguments(base, data, tmp_path / "cut", *more)) == 130
    assert "--resume" in capsys.readouterr().err
    assert sorted(fit.checkpoints(tmp_path / "cut")) == [2, 4]  # it was in the middle of an epoch
    assert train(base, data, tmp_path / "cut", *more, "--resume") == pytest.approx(whole, abs=1e-6)
    assert served(tmp_path / "cut") == pytest.approx(served(tmp_path / "whole"), abs=1e-5)


def test_a_lora_adapter_is_saved_as_one_and_resumed(base, data, tmp_path):
    more = ("--lora_dropout", 0, "--num_train_epochs", 2)
    losses = train(base, data, tmp_path / "lora", *more)
    assert losses[-1] < losses[0]
    assert (tmp_path / "lora" / "adapter_model.safetensors").is_file()
    assert not (tmp_path / "lora" / "model.safetensors").exists()
    assert cards.find(str(tmp_path / "lora"), "prm").base_model == str(base)
    first = served(tmp_path / "lora")
    assert first != pytest.approx(served(base), abs=1e-3)
    train(tmp_path / "lora", data, tmp_path / "on", *more)  # an adapter is trained on
    assert served(tmp_path / "on") != pytest.approx(first, abs=1e-3)


@pytest.mark.parametrize("head", ["two_class", "value"])
def test_a_new_head_goes_into_the_model_and_into_its_card(base, data, tmp_path, head):
    whole, lora = tmp_path / "whole", tmp_path / "lora"
    train(base, data, whole, "--full", "--head", head, "--num_train_epochs", 1)
    train(base, data, lora, "--head", head, "--num_train_epochs", 1)
    for folder in (whole, lora):
        card = cards.find(str(folder), "prm")
        assert card.head == head and not card.base_model
        assert all(0 < score < 1 for score in served(folder))


@pytest.mark.parametrize("labels", ["soft", "orm", "ovm"])
def test_other_labels(base, data, tmp_path, labels):
    more = ("--full", "--labels", labels, "--num_train_epochs", 6, "--total_batch_size", 24, "--learning_rate", 1e-3)
    losses = train(base, data, tmp_path, *more, test=False)
    assert len(losses) == 6 and losses[-1] < losses[0]
    card = cards.find(str(tmp_path), "prm")
    assert card.meaning == "value" and card.aggregation == ("min" if labels == "soft" else "last")


def test_a_weighted_loss_is_the_mean_by_weight(base, data, tmp_path):
    """The first update's, by hand from the base's scores."""
    losses = train(base, data, tmp_path, "--full", "--wrong_weight", 3, "--total_batch_size", 1000, test=False)
    rows = some_rows(24, 1)
    scores = Scorer.load(str(base), changed(self_test=None), "cpu").score([(r["question"], r["steps"]) for r in rows])
    total = weight = 0.0
    for row, found in zip(rows, scores, strict=True):
        for label, score in zip(row["labels"], found, strict=True):
            w = 1 if label else 3
            total -= w * torch.tensor(score if label else 1 - score, dtype=torch.float64).log().item()
            weight += w
            if not label:
                break
    assert losses[0] == pytest.approx(total / weight, rel=1e-4)


# Bases without a PRM's card.


@pytest.mark.parametrize("name", ["openr-tiny-policy", None])
def test_a_language_model_becomes_a_prm_by_the_generic_card(base, data, tmp_path, capsys, name):
    """Its own card is a language model's, or it has none."""
    folder = shutil.copytree(base, tmp_path / "lm")
    (folder / "model_card.yaml").unlink()
    if name is not None:
        shutil.copy(ROOT / f"reason/model_cards/{name}.yaml", folder / "model_card.yaml")
    losses = train(folder, data, tmp_path / "out", "--full", "--num_train_epochs", 1)
    assert len(losses) == 3
    said = capsys.readouterr().err
    assert "two-class head" in said and ("language model's" in said) == (name is not None)
    card = cards.find(str(tmp_path / "out"), "prm")
    assert card.name == "generic-prm" and card.head == "two_class"
    assert all(0 < score < 1 for score in served(tmp_path / "out"))


def test_an_entry_point_for_another_tokenizer_takes_the_generic_card(base, data, tmp_path, capsys):
    """The tag of math-psa is no token of the embedded tokenizer. A card that is named stays."""
    words = arguments(base, data, tmp_path / "out", "--full", "--num_train_epochs", 1)
    assert main("math-psa", "unused", "", words) == 0
    assert "step tag of card 'math-psa'" in capsys.readouterr().err
    assert cards.find(str(tmp_path / "out"), "prm").name == "generic-prm"
    assert "must be one token" in failed(capsys, *arguments(base, data, tmp_path / "no", "--card", "math-psa"))


def test_an_adapter_on_a_tied_layer_is_refused(base, data, tmp_path, capsys):
    message = failed(capsys, *arguments(base, data, tmp_path / "out", "--lora_modules", "q_proj", "lm_head"))
    assert "--lora_modules lm_head" in message and "one matrix" in message


# Bad input: one line, exit status 2, nothing trained.


def failed(capsys, *more):
    assert main(None, "unused", "", [str(one) for one in more]) == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "Traceback" not in message
    return message


def test_bad_rows_stop_the_start_or_are_counted(base, data, tmp_path, capsys):
    write(tmp_path / "train.jsonl", [*some_rows(3), {"question": "q", "steps": ["a", "b"], "labels": [1]}])
    message = failed(capsys, *arguments(base, tmp_path, tmp_path / "out", test=False))
    assert f"{tmp_path}/train.jsonl, line 4" in message and "1 for 2 steps" in message
    assert not (tmp_path / "out").exists()
    train(base, tmp_path, tmp_path / "out", "--full", "--num_train_epochs", 1, "--skip_bad_rows", test=False)
    assert "1 rows were skipped" in capsys.readouterr().out


def test_a_tag_of_several_tokens(base, data, tmp_path, capsys):
    write_card(tmp_path, changed(step_tag="two tokens", name="odd", self_test=None))
    card = ("--card", tmp_path / "model_card.yaml")
    message = failed(capsys, *arguments(base, data, tmp_path / "out", *card))
    assert "card 'odd': step_tag 'two tokens' must be one token" in message


def test_an_adapter_of_another_model(base, data, tmp_path, capsys):
    train(base, data, tmp_path / "lora", "--num_train_epochs", 1, test=False)
    config = AutoModelForCausalLM.from_pretrained(base).config
    config.hidden_size, config.num_hidden_layers = 128, 3
    config.layer_types = ["full_attention"] * 3
    other = AutoModelForCausalLM.from_config(config)
    other.save_pretrained(tmp_path / "other")
    more = ("--base_model", tmp_path / "other")
    message = failed(capsys, *arguments(tmp_path / "lora", data, tmp_path / "out", *more))
    assert "does not fit the base model" in message and "other" in message


def test_an_adapter_of_a_deeper_model(base, data, tmp_path, capsys):
    train(base, data, tmp_path / "lora", "--num_train_epochs", 1, test=False)
    config = AutoModelForCausalLM.from_pretrained(base).config
    config.num_hidden_layers, config.layer_types = 3, ["full_attention"] * 3
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "other")
    more = ("--base_model", tmp_path / "other")
    message = failed(capsys, *arguments(tmp_path / "lora", data, tmp_path / "out", *more))
    assert "does not fit the base model" in message and "layers.2" in message


def test_other_mistakes(trained, base, data, tmp_path, capsys):
    out = tmp_path / "out"
    assert "--train_data_path" in failed(capsys, "--model_path", base)
    assert "no such file" in failed(capsys, *arguments(base, tmp_path, out))
    assert "no-such-model" in failed(capsys, *arguments(tmp_path / "no-such-model", data, out, "--card", "math-psa"))
    assert "is for adapters" in failed(capsys, *arguments(base, data, out, "--base_model", base))
    assert "holds a training already" in failed(capsys, *arguments(base, data, trained[0], "--full"))
    assert "no checkpoint" in failed(capsys, *arguments(base, data, out, "--resume"))
    more = ("--full", "--num_train_epochs", 3, "--resume")
    assert "--num_train_epochs was 2.0 and is 3.0" in failed(capsys, *arguments(base, data, trained[0], *more))
    write(tmp_path / "test.jsonl", [{"question": "q", "steps": ["a"], "labels": [1]}])
    write(tmp_path / "train.jsonl", some_rows(4))
    assert "no step labelled wrong" in failed(capsys, *arguments(base, tmp_path, out, "--full"))


def test_the_folder_of_openr(base, data, tmp_path, capsys):
    for name in ("math_aps.json", "prm800k_train.json"):
        rows = [
            {"question": row["question"], "label": ["+" if label else "-" for label in row["labels"]],
             "process": " ".join(step.strip() + " \n\n\n\n\n" for step in row["steps"])}
            for row in some_rows(4, len(name))
        ]  # fmt: skip
        (tmp_path / name).write_text(json.dumps(rows))
    more = ["--model_path", base, "--data_path", tmp_path, "--datasets", "both", "--output_dir", tmp_path / "out"]
    assert main(None, "unused", "", [str(one) for one in [*more, "--full", "--num_train_epochs", 1]]) == 0
    assert capsys.readouterr().out.startswith("8 solutions")


# Processes.


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "shared_out",
    [
        (),
        ("--deepspeed", "prm/training/deepspeed/zero2.json"),
        ("--deepspeed", "prm/training/deepspeed/zero3.json"),
        ("--shard", "weights"),
    ],
)
def test_two_processes_have_the_loss_curve_of_one(trained, base, data, tmp_path, shared_out):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command += ["prm/code/finetune_qwen.py", "--card", "openr-tiny-prm"]
    more = ("--full", "--num_train_epochs", "2", *shared_out)
    done = subprocess.run(
        [*command, *arguments(base, data, tmp_path / "out", *more)], cwd=ROOT, env=environment(),
        capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert history(tmp_path / "out") == pytest.approx(trained[1], rel=1e-4, abs=1e-5)
    assert served(tmp_path / "out") == pytest.approx(served(trained[0]), abs=1e-3)
    assert (tmp_path / "out" / "checkpoint-6" / "rng_state_1.pth").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("script", ["finetune", "finetune_qwen_single_gpu", "finetune_llama", "finetune_math_shep"])
def test_the_entry_points_start(script):
    done = subprocess.run(
        [sys.executable, f"prm/code/{script}.py", "--help"], cwd=ROOT, env=environment(), capture_output=True, text=True
    )
    assert done.returncode == 0 and "--train_data_path" in done.stdout
