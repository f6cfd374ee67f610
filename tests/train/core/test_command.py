"""How a training ends: one line of one process, and its exit status."""

from __future__ import annotations

import subprocess
import sys

import pytest

from reason.common.errors import RunError, UserError
from tests.fakes import ROOT
from train.core.command import run_training
from train.core.processes import ALONE, Processes

ENDS = [
    (UserError("two\n lines"), 2, "two lines"),
    (RunError("the loss is nan"), 1, "the loss is nan"),
    (FileNotFoundError(2, "gone", "rows"), 2, "gone: rows"),
    (KeyboardInterrupt(), 130, "interrupted; --resume goes on"),
]


def ended(error: BaseException, processes: Processes, monkeypatch: pytest.MonkeyPatch) -> int:
    class Started:
        def __enter__(self) -> Processes:
            return processes

        def __exit__(self, *_: object) -> None: ...

    def act(given: Processes) -> None:
        assert given is processes
        raise error

    monkeypatch.setattr("train.core.command.started", Started)
    monkeypatch.setattr(Processes, "leave", lambda self, status: None)
    return run_training("x.py", act, "interrupted; --resume goes on")


@pytest.mark.parametrize(("error", "status", "line"), ENDS, ids=lambda part: type(part).__name__)
def test_what_fails_is_one_line_of_the_first_process(
    error: BaseException, status: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(error, ALONE, monkeypatch) == status
    assert capsys.readouterr().err == f"x.py: {line}\n"
    assert ended(error, Processes(1, 2), monkeypatch) == status
    assert capsys.readouterr().err == ""


def test_a_fault_of_ours_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        ended(ZeroDivisionError(), ALONE, monkeypatch)


def test_a_training_that_ends_well_is_0() -> None:
    assert run_training("x.py", lambda processes: None) == 0


async def succeeds(processes: Processes) -> int:
    assert processes.first
    return 0


def test_what_is_run_may_be_a_coroutine() -> None:
    assert run_training("x.py", succeeds) == 0


@pytest.mark.parametrize(
    "module", ["train.mat.train_llm", "train.mat.expert_iteration.sft", "prm.generative.finetune", "prm.code.finetune"]
)
def test_arguments_are_parsed_without_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
