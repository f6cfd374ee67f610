"""What holds for every test: the slow ones run last, and a test of vLLM may be skipped only where it cannot start."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest


def pytest_configure() -> None:
    """Tests of Ctrl-C mean something in a background job too: a shell starts those with SIGINT ignored, for good."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests first; the order is kept otherwise."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is not None)


def vllm_must_start() -> bool:
    """vLLM's CPU build runs on x86 with AVX-512; VLLM=auto and none leave it out (scripts/setup_env.sh)."""
    cpuinfo = Path("/proc/cpuinfo")
    return os.environ.get("VLLM", "cpu") == "cpu" and cpuinfo.is_file() and "avx512f" in cpuinfo.read_text()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a skipped test that is marked vllm where vLLM must start, so that a broken engine is not overlooked."""
    report = yield
    why = call.excinfo
    if why and why.errisinstance(pytest.skip.Exception) and item.get_closest_marker("vllm") and vllm_must_start():
        report.outcome = "failed"
        report.longrepr = f"skipped ({why.value}), but this CPU has AVX-512: vLLM must start, or set VLLM=none"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the skips, also when there are none."""
    counts = [f"{len(terminalreporter.getreports(name))} {name}" for name in ("passed", "failed", "error", "skipped")]
    terminalreporter.write_line("Tests: " + ", ".join(counts))
