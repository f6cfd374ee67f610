"""Rescore a finished best-of-N run with a PRM: `python prm/offline_eval.py RUN_DIR --RM NAME --out DIR`.

The same as `python prm/evaluate.py best_of_n`: a new run folder with every vote, and curves over N.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from prm.evaluate import main

if __name__ == "__main__":
    sys.exit(main(["best_of_n", *sys.argv[1:]]))
