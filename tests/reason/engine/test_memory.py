"""What a pass gives back is not taken from the system again."""

import platform
import subprocess
import sys

import pytest

from tests.fakes import ROOT

FAULTS = """
import resource, sys, torch
from reason.engine.memory import keep_freed_memory
print(keep_freed_memory() if sys.argv[1] == "kept" else None)
blocks = [torch.ones(1 << 18) for _ in range(20)]  # a megabyte each; the first pass
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    del blocks
    blocks = [torch.ones(1 << 18) for _ in range(20)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_pages_are_taken_once():
    def run(how: str) -> tuple[str, int]:
        command = [sys.executable, "-c", FAULTS, how]
        told, faults = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
        return told, int(faults)

    told, faults = run("kept")
    assert told == "True"
    assert faults < run("as ever")[1] / 10
