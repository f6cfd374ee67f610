"""The loop as a shell script: it parses, and refuses what cannot be before anything is served."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fakes import ROOT

SCRIPT = ROOT / "train/mat/scripts/self_improve.sh"


def refused(save_dir: Path, **variables: str) -> str:
    """What it says; nothing of it may be on stdout, where a served model is told of."""
    done = subprocess.run(
        ["sh", str(SCRIPT)], env=os.environ | {"save_dir": str(save_dir)} | variables, capture_output=True, text=True,
        timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_it_parses() -> None:
    done = subprocess.run(["sh", "-n", str(SCRIPT)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("name", "value", "message"), [("start_from", "middle", "first or last"), ("iterations", "0", "at least 1")]
)
def test_settings_that_cannot_be_are_named(name: str, value: str, message: str, tmp_path: Path) -> None:
    assert message in refused(tmp_path / "new", **{name: value})
    assert not (tmp_path / "new").exists()


def test_a_folder_of_other_settings_is_not_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "settings.txt").write_text("method=best_of_n\n")
    assert "other settings" in refused(tmp_path)
