"""`openr`: every command's help and completion, light where it is of the client, and mistakes in one line."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import reason
from reason import cli
from tests.fakes import ROOT

HEAVY = ("datasets", "deepspeed", "fastapi", "fastchat", "matplotlib", "torch", "transformers", "vllm")


def openr(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "reason.cli", *words],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True,
    )  # fmt: skip


def completions(line: str, folder: Path) -> list[str]:
    """What a shell would be told that may follow `line`."""
    answer = folder / "answer"
    openr(_ARGCOMPLETE="1", _ARGCOMPLETE_STDOUT_FILENAME=str(answer), COMP_LINE=line, COMP_POINT=str(len(line)))
    return [word.strip() for word in answer.read_text().split("\013")]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_says_what_it_does_under_its_own_name(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as ended:
        cli.main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: openr {command} [-h]")


def test_help_of_every_command_imports_nothing_heavy() -> None:
    code = f"""
import contextlib, sys
from reason import cli
for command in cli.COMMANDS:
    with contextlib.suppress(SystemExit):
        cli.main([*command.split(), "--help"])
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_command_is_the_main_of_a_module() -> None:
    for where, _ in cli.COMMANDS.values():
        module, _, function = where.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_without_a_command_the_list_is_shown() -> None:
    done = openr()
    assert done.returncode == 2 and not done.stdout
    assert all(f"    {word} " in done.stderr for word in [*cli.listed(""), "train"])
    of_train = openr("train")
    assert of_train.returncode == 2
    assert all(f"    {word} " in of_train.stderr for word in ("policy", "prm", "judge"))


def test_help_and_version() -> None:
    assert "commands:" in openr("--help").stdout
    assert openr("--version").stdout == f"openr {reason.__version__}\n"
    assert "judge" in openr("train", "--help").stdout


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["evla"], "openr: no command 'evla', did you mean 'eval'? there are: "),
        (["trian", "policy"], "openr: no command 'trian', did you mean 'train'? there are: "),
        (["train", "polisy"], "openr train: no command 'polisy', did you mean 'policy'? there are: policy, prm, judge"),
        (["train", "policy", "--updates"], "openr train policy: "),
        (["eval", "--methd", "cot"], "openr eval: "),
        (["compare", "run", "--agianst", "x"], "openr compare: "),
        (["cards", "show", "openr-tiny-prn"], "openr cards: no card 'openr-tiny-prn', did you mean 'openr-tiny-prm'?"),
        (["cards", "check", "no_such_folder"], "openr cards: there is no folder no_such_folder"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], line: str) -> None:
    done = openr(*words)
    assert done.returncode == 2
    assert done.stderr.startswith(line) and done.stderr.count("\n") == 1


def test_a_shell_completes_commands_and_the_chosen_ones_flags(tmp_path: Path) -> None:
    assert {"eval", "train", "--version"} <= set(completions("openr ", tmp_path))
    assert completions("openr ev", tmp_path) == ["eval"]
    assert {"policy", "prm", "judge"} <= set(completions("openr train ", tmp_path))
    assert completions("openr eval --metho", tmp_path) == ["--method"]
    assert completions("openr train policy --algorithm_name GR", tmp_path) == ["GRPO"]
    assert completions("openr bench proc", tmp_path) == ["processbench"]


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_completion_never_runs_a_command(command: str, tmp_path: Path) -> None:
    assert "--config" in completions(f"openr {command} --", tmp_path)


def test_cards_are_listed_shown_and_checked() -> None:
    assert "openr-tiny-prm " in openr("cards").stdout
    assert openr("cards", "show", "openr-tiny-prm").stdout.startswith("# The embedded PRM")
    models = "reason/llm_service/models"
    assert "card 'openr-tiny-prm', of a reward model" in openr("cards", "check", f"{models}/openr-tiny-prm").stdout
    assert (
        "card 'openr-tiny-policy', of a language model" in openr("cards", "check", f"{models}/openr-tiny-policy").stdout
    )
