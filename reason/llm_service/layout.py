"""Which worker computes where: GPUs, their shares, and cores."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence


def count_gpus() -> int:
    """GPUs of this machine, by nvidia-smi."""
    if not shutil.which("nvidia-smi"):
        return 0
    done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return len(done.stdout.splitlines()) if done.returncode == 0 else 0


def gpus_of_workers(words: Sequence[Sequence[str]], numbers: Sequence[int], first: int, gpus: int) -> list[list[str]]:
    """For each kind of worker, the GPUs of each of its workers, such as "0" or "0,1".

    `words`: what the user gave for each kind, used from the beginning again where there are more workers than words;
    for a kind without any, one GPU a worker from number `first` on, shared where there are too few.
    """
    placed, before = [], 0
    for given, number in zip(words, numbers):
        own = given or [str((first + before + i) % gpus) for i in range(number)]
        placed.append([own[i % len(own)] for i in range(number)])
        before += number
    return placed


def share_of_gpu(gpu: str, workers: Sequence[str]) -> float:
    """How much of the memory of its (first) GPU a vLLM worker may take: 0.9 for all workers there together."""
    first = gpu.split(",")[0]
    return round(0.9 / sum(first in other.split(",") for other in workers), 2)


def cores_of_worker(worker: int, workers: int, most: int) -> list[int]:
    """Its cores, an even share of ours, at most `most` of them (0: all). Empty with fewer cores than workers."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    cores = sorted(affinity(0)) if affinity else list(range(os.cpu_count() or 1))
    share = len(cores) // workers
    return cores[worker * share :][: min(share, most) if most else share]
