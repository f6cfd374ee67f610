"""Run the project's command lines as users type them, and read what they leave."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.fakes import ROOT


def command(*arguments, script="reason/evaluation/evaluate.py", module=None):
    """The command line as users type it in the repository's root: of a file, or with `python -m` of a module."""
    return [sys.executable, *(["-m", module] if module else [script]), *map(str, arguments)]


def call(*arguments, script="reason/evaluation/evaluate.py", module=None, **options):
    """Run it to its end."""
    return subprocess.run(
        command(*arguments, script=script, module=module), cwd=ROOT, env=os.environ | {"PYTHONPATH": ""},
        capture_output=True, text=True, timeout=120, **options,
    )  # fmt: skip


def folder_of(done):
    """The run folder that the console names."""
    return Path(done.stdout.split("Run folder: ")[1].splitlines()[0])


def records_of(folder):
    """id -> record."""
    lines = (folder / "record.jsonl").read_text(encoding="utf-8").splitlines()
    return {record["id"]: record for record in map(json.loads, lines)}
