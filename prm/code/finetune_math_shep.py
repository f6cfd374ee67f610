"""Train a Mistral PRM in Math-Shepherd's layout (card math-shepherd-mistral-7b-prm).

`python prm/code/finetune_math_shep.py --model_path BASE --train_data_path FILE --test_data_path FILE`
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from prm.training.run import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main("math-shepherd-mistral-7b-prm", "runs/prm_math_shepherd", __doc__))
