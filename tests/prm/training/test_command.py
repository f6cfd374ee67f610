"""How a training ends: one line of one process, and its exit status."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from prm.training.command import exit_status
from reason.common.errors import RunError, UserError
from tests.fakes import ROOT

ARGS = argparse.Namespace(output_dir=Path("runs/x"))
RESUME = "interrupted; --resume goes on from the last checkpoint in runs/x"
ENDS = [
    *((kind("two\n lines"), 2, "two lines") for kind in (UserError, UserError, UserError, UserError, RunError)),
    (FileNotFoundError(2, "gone", "rows"), 2, "[Errno 2] gone: 'rows'"),
    (KeyboardInterrupt(), 130, RESUME),
]


def ended(error: BaseException) -> int:
    def train(args: argparse.Namespace) -> None:
        raise error

    return exit_status("x.py", train, ARGS)


@pytest.mark.parametrize(("error", "status", "line"), ENDS, ids=lambda one: type(one).__name__)
def test_what_fails_is_one_line(
    error: BaseException, status: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error) == status
    assert capsys.readouterr().err == f"x.py: {line}\n"
    monkeypatch.setenv("RANK", "1")  # another process of a torchrun
    assert ended(error) == status
    assert capsys.readouterr().err == ""


def test_a_fault_of_ours_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        ended(ZeroDivisionError())


def test_a_training_that_ends_well_is_0() -> None:
    assert exit_status("x.py", lambda args: None, ARGS) == 0


def test_arguments_are_parsed_without_torch() -> None:
    code = "import sys, train.mat.expert_iteration.sft, prm.generative.finetune; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
