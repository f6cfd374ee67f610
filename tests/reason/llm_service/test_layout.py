"""Which worker gets which GPU, which share of it, and which cores."""

from __future__ import annotations

import os

import pytest

from reason.llm_service.layout import cores_of_worker, gpus_of_workers, share_of_gpu


@pytest.mark.parametrize(
    ("lm", "rm", "numbers", "first", "gpus", "placed"),
    [
        ([], [], (2, 2), 0, 8, [["0", "1"], ["2", "3"]]),
        ([], [], (2, 2), 6, 8, [["6", "7"], ["0", "1"]]),
        ([], [], (2, 1), 0, 2, [["0", "1"], ["0"]]),
        ([], [], (2, 0), 0, 1, [["0", "0"], []]),
        (["0,1", "2,3"], [], (2, 1), 0, 4, [["0,1", "2,3"], ["2"]]),
        (["0"], ["0"], (2, 1), 0, 4, [["0", "0"], ["0"]]),
        (["0", "1"], [], (3, 1), 0, 2, [["0", "1", "0"], ["1"]]),
    ],
)
def test_gpus(lm, rm, numbers, first, gpus, placed) -> None:
    assert gpus_of_workers((lm, rm), numbers, first, gpus) == placed


@pytest.mark.parametrize(
    ("gpu", "workers", "share"),
    [("0", ["0", "1"], 0.9), ("0", ["0", "0"], 0.45), ("0,1", ["0,1", "1", "0"], 0.45), ("1", ["0,1", "1", "1"], 0.3)],
)
def test_share_of_a_gpu(gpu: str, workers: list[str], share: float) -> None:
    assert share_of_gpu(gpu, workers) == share


@pytest.mark.parametrize(
    ("workers", "most", "cores"),
    [(2, 0, [[0, 1, 2, 3], [4, 5, 6, 7]]), (2, 3, [[0, 1, 2], [4, 5, 6]]), (3, 0, [[0, 1], [2, 3], [4, 5]]),
     (9, 0, [[]] * 9)],
)  # fmt: skip
def test_cores(monkeypatch: pytest.MonkeyPatch, workers: int, most: int, cores: list[list[int]]) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    assert [cores_of_worker(i, workers, most) for i in range(workers)] == cores
