"""Where the figures of a run go: `log.jsonl`, the bar, and TensorBoard and Weights & Biases where they are."""

from __future__ import annotations

import json
import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

if TYPE_CHECKING:
    from train.mat.runner.runner import Runner

SHOWN = {  # in the bar: metric -> name and format
    "reward": ("reward", ".3f"), "accuracy": ("acc", ".3f"), "kl": ("kl", ".4f"), "kl_old": ("kl_old", ".1e"),
    "entropy": ("entropy", ".3f"), "with_gradient": ("with gradient", ".2f"), "length": ("len", ".0f"),
    "tokens_per_s": ("tok/s", ".0f"), "eval_accuracy": ("held out", ".3f"),
}  # fmt: skip


class RunLog:
    """One line an update in `log.jsonl`. Of a resumed run the updates that are done again are taken out first."""

    def __init__(self, folder: Path, updates: int, done: int, config: dict[str, Any], project: str | None) -> None:
        self.path, self.updates = folder / "log.jsonl", updates
        self.rows = [row for row in read(self.path) if row["update"] <= done] if self.path.is_file() else []
        text = "".join(json.dumps(row) + "\n" for row in self.rows)
        self.path.write_text(text, encoding="utf-8")
        self.file = self.path.open("a", encoding="utf-8")
        on_screen = sys.stderr.isatty()
        self.bar = tqdm(total=updates, initial=done, unit="update", mininterval=0.5 if on_screen else 15.0)
        self.last: dict[str, float] = {}
        self.board = self.wandb = None
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=done + 1)
        if project:
            import wandb

            self.wandb = wandb.init(project=project, dir=str(folder), config=config)

    def write(self, update: int, metrics: dict[str, float]) -> None:
        """Note the figures of an update; update 0 is before training."""
        row = {"update": update} | {name: _plain(value) for name, value in metrics.items()}
        self.rows.append(row)
        self.file.write(json.dumps(row) + "\n")
        self.file.flush()
        self.last |= metrics
        if self.board is not None:
            for name, value in metrics.items():
                self.board.add_scalar(name, value, update)
        if self.wandb is not None:
            self.wandb.log(metrics, step=update)
        figures = {short: format(self.last[name], how) for name, (short, how) in SHOWN.items() if name in self.last}
        self.bar.set_postfix(figures, refresh=False)
        if update:
            self.bar.update()

    def summary(self, runner: Runner, held_out: int, seconds: float | None) -> str:
        """What became of the run."""
        first = next(row["eval_accuracy"] for row in self.rows if "eval_accuracy" in row)
        last = self.last.get("eval_accuracy", runner.best)
        early = ""
        if runner.done < self.updates:
            early = f"Stopped after {runner.done} of {self.updates} updates: --max_seconds {seconds:g}\n"
        return (f"{early}Held-out accuracy on {held_out} questions: {first:.3f} before, {last:.3f} at the end, "
                f"{runner.best:.3f} at best. Policies: {self.path.parent}/last, {self.path.parent}/best")  # fmt: skip

    def close(self) -> None:
        """End the bar and the files."""
        self.bar.close()
        self.file.close()
        if self.board is not None:
            self.board.close()
        if self.wandb is not None:
            self.wandb.finish()


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a log; a line that was torn by the end of a process is left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def _plain(value: float) -> float | None:
    return float(f"{value:.8g}") if math.isfinite(value) else None
