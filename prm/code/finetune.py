"""Train a PRM of any family: its card is --card, or the one that lists the model.

`python prm/code/finetune.py --model_path BASE --train_data_path FILE --test_data_path FILE`
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from prm.training.run import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(None, "runs/prm", __doc__))
