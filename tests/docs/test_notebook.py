"""The example notebook runs, and its outputs are what it shows."""

from __future__ import annotations

import re

import nbformat
import pytest
from nbclient import NotebookClient

from tests.fakes import ROOT


def shown(notebook: nbformat.NotebookNode) -> list[str]:
    """The text of every output. Tokens are left out: another processor's rounding changes them a little."""
    texts = [
        output.get("text") or output["data"]["text/plain"]
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
        if output.get("name") != "stderr"
    ]
    lines = "".join(f"{text}\n" for text in texts).splitlines()
    return [re.sub(r" *[\d,]+ tokens \w+|, confidence .*", "", line) for line in lines if line]


@pytest.mark.slow
def test_the_notebook_shows_what_it_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    stored = nbformat.read(ROOT / "docs" / "solve.ipynb", as_version=4)
    again = nbformat.read(ROOT / "docs" / "solve.ipynb", as_version=4)
    NotebookClient(again, timeout=300, kernel_name="python3").execute()
    assert shown(again) == shown(stored)
    assert "answer '149'" in shown(stored)[0]
