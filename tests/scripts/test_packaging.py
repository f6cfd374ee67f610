"""requirements.txt names what the code imports, setup.py packs what it reads, and the client stays light."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("data", "envs", "prm", "reason", "train", "scripts", "tests")
SHIPPED = ("data", "envs", "prm", "reason", "train")
DISTRIBUTIONS = {"fastchat": "fschat", "sklearn": "scikit-learn", "yaml": "pyyaml"}  # imports with another name
CLIENT = ("envs", *(f"reason/{room}" for room in (
    "common", "model_cards", "inference", "reranking", "guided_search", "solve", "evaluation")))  # fmt: skip
LOCAL = "reason/inference/local.py"  # imported when a model of this process is opened
HEAVY = ("datasets", "deepspeed", "fastapi", "fastchat", "torch", "transformers", "uvicorn", "vllm")


def imports(tree: ast.AST) -> set[str]:
    """The distributions of the third-party modules that some code imports."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(str(node.module))
    tops = {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - set(ROOMS)
    return {DISTRIBUTIONS.get(top.replace("_", "-"), top.replace("_", "-")) for top in tops}


def sources(rooms: tuple[str, ...]) -> list[Path]:
    return sorted(path for room in rooms for path in (ROOT / room).rglob("*.py"))


def listed(pattern: str) -> set[str]:
    """The distributions of the lines of requirements.txt that fit; the pattern's group is the requirement."""
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    return {re.findall(r"^[\w.-]+", requirement)[0].lower() for requirement in re.findall(pattern, text, re.MULTILINE)}


CORE, EXTRAS = listed(r"^(\w.*)$"), listed(r"^#\[\w+\] (.+)$")


def test_every_import_is_listed() -> None:
    missing = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in sources(ROOMS)
        for name in imports(ast.parse(path.read_text(encoding="utf-8"))) - CORE - EXTRAS
    }
    assert not missing


def test_core_is_what_shipped_code_imports() -> None:
    used = {name for path in sources(SHIPPED) for name in imports(ast.parse(path.read_text(encoding="utf-8")))}
    assert used >= CORE


def test_what_the_client_imports_is_core() -> None:
    for path in sources(CLIENT):
        body = ast.parse(path.read_text(encoding="utf-8")).body
        at_top = ast.Module([node for node in body if isinstance(node, ast.Import | ast.ImportFrom)], [])
        assert imports(at_top) <= CORE, path


def test_every_requirement_has_both_bounds() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line and (not line.startswith("#") or line.startswith("#[")):
            assert re.fullmatch(r"(#\[\w+\] )?[\w.-]+(\[\w+\])?>=[\d.]+,<[\d.]+", line), line


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What setup.py would install."""
    folder = tmp_path_factory.mktemp("built")
    setup = [sys.executable, "setup.py", "-q"]
    subprocess.run([*setup, "build_py", "--build-lib", str(folder)], cwd=ROOT, check=True, capture_output=True)
    subprocess.run([*setup, "egg_info", "--egg-base", str(folder)], cwd=ROOT, check=True, capture_output=True)
    return folder


def test_package_holds_code_and_data(built: Path) -> None:
    wanted = {*sources(SHIPPED), *(ROOT / "reason/model_cards").glob("*.yaml"), *(ROOT / "reason").rglob("*.sh")}
    wanted |= {ROOT / room / "py.typed" for room in SHIPPED}
    wanted |= {path for path in (ROOT / "reason/llm_service/models").rglob("*") if path.is_file()}
    packed = {path.relative_to(built) for path in built.rglob("*") if path.is_file()}
    missing = {path.relative_to(ROOT) for path in wanted if "__pycache__" not in path.parts} - packed
    assert not missing


def test_package_names_its_requirements(built: Path) -> None:
    metadata = (built / "openr.egg-info" / "PKG-INFO").read_text(encoding="utf-8")
    assert "Requires-Python: >=3.10" in metadata
    assert set(re.findall(r"^Provides-Extra: (\w+)$", metadata, re.MULTILINE)) >= {"gpu", "cpu", "train", "dev"}
    core = {name.lower() for name in re.findall(r"^Requires-Dist: ([\w.-]+)[^;\n]*$", metadata, re.MULTILINE)}
    assert core == CORE


@pytest.mark.parametrize("module", ["reason.evaluation.evaluate", "reason.evaluation.compare", "reason.guided_search"])
def test_client_is_light(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_every_client_module_is_light() -> None:
    """All of them at once, so that no method or client hides a heavy import at its top; models here are engines."""
    paths = [path.relative_to(ROOT).with_suffix("") for path in sources(CLIENT) if path != ROOT / LOCAL]
    names = [".".join(path.parts).removesuffix(".__init__") for path in paths]
    code = f"""
import importlib, sys
for name in {names}:
    importlib.import_module(name)
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_answers() -> None:
    done = subprocess.run(
        [sys.executable, "reason/evaluation/evaluate.py", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert "--method" in done.stdout
