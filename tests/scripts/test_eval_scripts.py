"""scripts/eval/*.sh: variables and one call, whatever the variables hold."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.fakes import ROOT

SHELL = shutil.which("dash") or "sh"
SCRIPTS = sorted((ROOT / "scripts/eval").glob("*.sh"))
CALLS = [path for path in SCRIPTS if path.name != "four_methods.sh"]  # which calls four of the others


@pytest.fixture
def words_of(tmp_path: Path):
    """The words that a script gives to Python, which only writes them down."""
    python, said = tmp_path / "my python", tmp_path / "words"
    python.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >"{said}"\n')
    python.chmod(python.stat().st_mode | stat.S_IXUSR)

    def run(script: Path, *words: str, **variables: str) -> list[str]:
        ours = {"PYTHON": str(python), **variables}
        done = subprocess.run([SHELL, str(script), *words], cwd="/", env=os.environ | ours, text=True, check=True)
        assert done.returncode == 0
        return said.read_text().splitlines()

    return run


@pytest.mark.parametrize("script", [*CALLS, ROOT / "data/omegaprm/run_omegaprm.sh"], ids=lambda path: path.name)
def test_names_with_spaces_stay_whole_and_further_flags_come_last(script: Path, words_of) -> None:
    folder = "OUTPUT_DIR" if script.name == "run_omegaprm.sh" else "SAVE_DIR"
    words = words_of(script, "--temperature", "0.8", LM="my model", **{folder: "my results"})
    assert "my model" in words and "my results" in words
    assert words[-2:] == ["--temperature", "0.8"]


@pytest.mark.parametrize("script", [*CALLS, ROOT / "data/omegaprm/run_omegaprm.sh"], ids=lambda path: path.name)
def test_the_controllers_port_is_that_of_the_services(script: Path, words_of) -> None:
    def controller(**variables: str) -> str:
        words = words_of(script, **variables)
        return words[words.index("--controller_addr") + 1]

    assert controller() == "http://127.0.0.1:28777"
    assert controller(CONTROLLER_PORT="28778") == "http://127.0.0.1:28778"
    assert controller(CONTROLLER_PORT="1", CONTROLLER_ADDR="http://[::1]:2") == "http://[::1]:2"


@pytest.mark.parametrize("script", CALLS, ids=lambda path: path.name)
def test_nothing_but_variables_and_one_call(script: Path) -> None:
    lines = [line for line in script.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert sum(line.startswith("exec ") for line in lines) == 1
    before = lines[: next(i for i, line in enumerate(lines) if line.startswith("exec "))]
    assert not [line for line in before if line.startswith(("for ", "while ", "case ")) or "() {" in line]
