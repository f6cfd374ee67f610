"""Packaging. What is installed, and in which versions, stands in requirements.txt alone."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
ROOMS = ("data", "envs", "prm", "reason", "train")


def requirements() -> tuple[list[str], dict[str, list[str]]]:
    """The core's requirements, and those of each extra (lines `#[extra] requirement`)."""
    core, extras = [], {}
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        extra = re.fullmatch(r"#\[(\w+)\] (.+)", line)
        if extra:
            extras.setdefault(extra[1], []).append(extra[2])
        elif line and not line.startswith("#"):
            core.append(line)
    return core, extras


def version() -> str:
    """What `reason.__version__` says, read without importing it."""
    line = re.search(r'^__version__ = "([^"]+)"$', (ROOT / "reason/__init__.py").read_text("utf-8"), re.MULTILINE)
    assert line is not None
    return line[1]


CORE, EXTRAS = requirements()

setup(
    name="openr",
    version=version(),
    description="Search, process rewards and reinforcement learning for LLM reasoning",
    license="MIT",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(include=[pattern for room in ROOMS for pattern in (room, f"{room}.*")]),
    package_data={
        "prm": ["training/deepspeed/*.json"],
        "reason": ["model_cards/*.yaml", "llm_service/*.sh", "llm_service/models/*", "llm_service/models/*/*"],
    },
    entry_points={"console_scripts": ["openr = reason.cli:main"]},
    install_requires=CORE,
    extras_require=EXTRAS,
)
