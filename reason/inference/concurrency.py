"""What keeps thousands of requests in one process cheap."""

from __future__ import annotations

import gc


def collect_rarely() -> None:
    """Let the garbage collector look more rarely than Python's default.

    What thousands of requests under way hold is alive, and each look goes through it all: with 4,000 of a search it
    took half a core.
    """
    gc.set_threshold(50_000, 10, 10)
