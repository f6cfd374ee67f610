"""One line of progress for each log of the Trainer's."""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback


class Progress(TrainerCallback):
    """Loss, learning rate and time left; test figures as they come. Only the first process prints."""

    def __init__(self) -> None:
        self.started, self.first = time.monotonic(), 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Where a resumed training starts, so that the time left is right."""
        self.started, self.first = time.monotonic(), state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **kwargs: Any) -> None:
        """Print the log."""
        if not state.is_world_process_zero or not logs:
            return
        place = f"update {state.global_step}/{state.max_steps}"
        if "loss" in logs:
            done = state.global_step - self.first
            left = (time.monotonic() - self.started) / done * (state.max_steps - state.global_step)
            rate = f"lr {logs['learning_rate']:.2e}"
            print(f"{place}  loss {logs['loss']:.4f}  {rate}  {left / 60:.1f} min left", flush=True)
        elif any(name.startswith("eval_") for name in logs):
            found = "  ".join(f"{k.removeprefix('eval_')} {v:.4f}" for k, v in logs.items() if k.startswith("eval_"))
            print(f"{place}  test: {found}", flush=True)
