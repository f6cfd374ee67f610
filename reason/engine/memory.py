"""Memory of an engine's process: what a forward pass gives back, and how much a prefix cache takes.

Memory that a pass gives back stays with the process, for the next pass. glibc returns blocks of more than some hundred
kilobytes to the system at once, and takes them anew page by page: every pass of a model on a CPU pays for the pages of
its activations again. See mallopt(3).
"""

from __future__ import annotations

import ctypes

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
LARGEST = 32 << 20  # bytes of a block; glibc takes no larger threshold
KEPT = (1 << 31) - 1  # bytes at the end of the heap; all that mallopt's int can say


def keep_freed_memory() -> bool:
    """Tell the C library; whether it took it. Without glibc nothing changes."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST) and mallopt(M_TRIM_THRESHOLD, KEPT))


def cache_bytes(device: str, megabytes: int | None = None) -> int:
    """Bytes of a prefix cache, asked once the model is loaded. By default a gigabyte, on a GPU a quarter of what is
    free, at most 8 gigabytes.
    """
    if megabytes is not None:
        return megabytes << 20
    if torch.device(device).type != "cuda":
        return 1 << 30  # taken as it fills
    free, _ = torch.cuda.mem_get_info(device)
    return min(free // 4, 8 << 30)
