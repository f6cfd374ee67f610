"""A built wheel, installed outside the repository, has its command and its models and solves a question."""

from __future__ import annotations

import os
import re
import shutil
import site
import subprocess
import sys
from pathlib import Path

import pytest

import reason
from tests.fakes import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
SOURCES = ("data", "envs", "prm", "reason", "train", "setup.py", "pyproject.toml", "requirements.txt", "MANIFEST.in")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of a new environment with the wheel; what the wheel requires is taken from this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in (*SOURCES, "LICENSE"):
        path = ROOT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, source)
    pip = ["pip", "--disable-pip-version-check", "--quiet"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(folder), str(source)]
    subprocess.run([sys.executable, "-m", *pip, *build], check=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    asked = [str(python), "-c", "import site; print(site.getsitepackages()[0])"]
    packages = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    Path(packages, "requirements.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    wheel = next(folder.glob("openr-*.whl"))
    subprocess.run([str(python), "-m", *pip, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    return python.parent


def run(installed: Path, folder: Path, *command: str) -> str:
    """What a command of the new environment prints, started in an empty folder."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(installed / command[0]), *command[1:]], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_the_installed_package_that_answers(installed: Path, tmp_path: Path) -> None:
    said = run(installed, tmp_path, "python", "-c", "import reason; print(reason.__file__, reason.__version__)")
    assert said.startswith(str(installed.parent)) and said.split()[1] == reason.__version__
    assert run(installed, tmp_path, "openr", "--version") == f"openr {reason.__version__}\n"


def test_the_five_lines_of_the_readme_run(installed: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    lines = next(block for block in blocks if "from reason import solve" in block)
    assert run(installed, tmp_path, "python", "-c", lines).startswith("118 ")


def test_the_command_solves_with_the_embedded_models(installed: Path, tmp_path: Path) -> None:
    models = ["--lm", "local:openr-tiny-policy", "--rm", "local:openr-tiny-prm"]
    said = run(installed, tmp_path, "openr", "solve", "23 + 9 * 3 + 68", *models, "--method", "dvts")
    assert re.search(r"^  answer +118$", said, re.MULTILINE)
    assert "openr-tiny-prm " in run(installed, tmp_path, "openr", "cards")


def test_types_of_the_package_are_known_outside(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "use.py").write_text("from reason import solve\nreveal_type(solve('1 + 1', lm='local:x').answer)\n")
    said = run(installed, tmp_path, "python", "-m", "mypy", "use.py")
    assert 'Revealed type is "str | None"' in said
