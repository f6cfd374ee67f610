"""Train a Qwen2.5 PRM in OpenR's layout (card math-psa); with torchrun on several devices.

`torchrun --nproc_per_node=2 prm/code/finetune_qwen.py --model_path BASE --data_path FOLDER --datasets both`
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from prm.training.run import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main("math-psa", "runs/prm_qwen", __doc__))
