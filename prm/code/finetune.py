"""Train a PRM of any family: its card is --card, or the one that lists the model.

`python prm/code/finetune.py --model_path BASE --train_data_path FILE --test_data_path FILE`
"""

from __future__ import annotations

import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from prm.training import run


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    return run.main(None, "runs/prm", str(__doc__), arguments)


if __name__ == "__main__":
    sys.exit(main())
