"""Train a Llama 3 PRM in OpenR's layout (card openr-llama-prm).

`python prm/code/finetune_llama.py --model_path BASE --train_data_path FILE --test_data_path FILE`
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from prm.training.run import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main("openr-llama-prm", "runs/prm_llama", __doc__))
