"""The public formats by the names that the command line knows."""

from __future__ import annotations

from data.preprocess import math_aps, math_shepherd, openr, prm800k, processbench
from data.preprocess.options import Reader

READERS: dict[str, Reader] = {
    "prm800k": prm800k.read,
    "math-aps": math_aps.read_flat,
    "math-aps-tree": math_aps.read_tree,
    "math-shepherd": math_shepherd.read,
    "omegaprm": math_aps.read_omegaprm,
    "processbench": processbench.read,
    "openr": openr.read,
}
