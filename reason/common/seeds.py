"""Seeds of draws: a function of what is drawn, never of when, where or beside what it is drawn."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def draw_seed(run_seed: int, problem_id: str, path: Sequence[int], clone: int, sample: int) -> int:
    """A 63-bit seed for sample `sample` of the `clone`-th draw at the node with child indices `path`.

    63 bits, not 64, because engines take signed integers.
    """
    key = f"{run_seed}\x1f{problem_id}\x1f{','.join(map(str, path))}\x1f{clone}\x1f{sample}"
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") >> 1
