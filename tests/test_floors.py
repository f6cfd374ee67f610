"""The floors of the house: a room imports only from floors below it, and the client side imports nothing heavy."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes import ROOT

FLOORS = (  # ground first
    "reason.common",
    "envs",
    "reason.model_cards",
    "reason.engine",
    "prm.scoring",
    "reason.inference",
    "reason.reranking",
    "reason.guided_search",
    "reason.solve",
    "reason.llm_service",
    "reason.evaluation",
    "data",
    "train.core",
    "prm",
    "train",
    "scripts",
)
ON_TOP = {"reason", "reason.cli"}  # the package's own name, and the command, which only name the others
CLIENT = (
    "reason.common", "envs", "reason.model_cards", "reason.inference", "reason.reranking", "reason.guided_search",
    "reason.solve", "reason.evaluation", "reason.cli",
)  # fmt: skip
LOCAL = "reason.inference.local"  # imported when a model of this process is opened
COMPUTING = ("reason.engine", "prm.scoring")
HEAVY = {
    "accelerate",
    "datasets",
    "deepspeed",
    "fastapi",
    "fastchat",
    "peft",
    "torch",
    "transformers",
    "uvicorn",
    "vllm",
}


def within(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


def floor(module: str) -> int | None:
    """The place in FLOORS of the room that a module is in, the innermost where rooms contain each other."""
    rooms = [room for room in FLOORS if within(module, room)]
    return FLOORS.index(max(rooms, key=len)) if rooms else None


def modules() -> dict[str, Path]:
    paths = [
        path for room in ("reason", "envs", "prm", "data", "train", "scripts") for path in (ROOT / room).rglob("*.py")
    ]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in paths}


MODULES = modules()


def imported(module: str) -> Iterator[str]:
    """The modules that a module's text names in import statements, wherever they stand in it."""
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module is not None, f"{module}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in MODULES else node.module for name in names)


def test_every_module_is_on_a_floor() -> None:
    assert {module for module in MODULES if floor(module) is None} == ON_TOP


def test_no_room_imports_one_above_it() -> None:
    wrong = [
        f"{module} imports {other}"
        for module in MODULES
        if module not in ON_TOP
        for other in set(imported(module)) & MODULES.keys()
        if other in ON_TOP or (floor(other) or 0) > (floor(module) or 0)
    ]
    assert not wrong


@pytest.mark.parametrize("room", CLIENT)
def test_client_rooms_name_nothing_heavy_at_their_top(room: str) -> None:
    for module in (module for module in MODULES if within(module, room) and module != LOCAL):
        tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
        at_top = {
            name
            for node in tree.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""])
        }
        assert not {name.partition(".")[0] for name in at_top} & HEAVY, module
        assert not [name for name in at_top for room in COMPUTING if within(name, room)], module
