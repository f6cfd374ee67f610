"""The curves of learning.py: true accuracy against solutions sampled, and what the PRM pays for beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from reason.evaluation.curves import INTERVAL, PRINT, save
from scripts.bench.learning_table import Run

STYLES: dict[str, tuple[str, str, Any]] = {  # colour, marker, line
    "grpo": ("#332288", "o", "-"),
    "appo": ("#117733", "s", "-"),
    "tppo": ("#CC6677", "^", "-"),
    "appo_outcome": ("#88CCEE", "D", "--"),
    "appo_prm_only": ("#999933", "v", "--"),
    "appo_sum": ("#AA4499", "X", "-."),
    "supervised": ("#444444", "", (0, (5, 2))),
    "rejection": ("#DDCC77", "P", ":"),
}
PAID_BY_PRM = ("appo", "appo_prm_only", "appo_sum")  # in the second panel
OUTCOME_TOO = "appo"  # the outcome, of weight 1, is in its reward
WINDOW = 5  # updates whose mean is drawn in the second panel
MARKERS = 12  # of a curve at most


def draw(runs: Mapping[str, Sequence[Run]], prefix: Path) -> list[Path]:
    """Write prefix.png and prefix.svg; returns the files. The right panel only where a kind is paid by the PRM."""
    hacked = {kind: runs[kind] for kind in PAID_BY_PRM if kind in runs}
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(PRINT):
        wide = [1.35, 1.0] if hacked else [1.0]
        figure = plt.figure(figsize=(9.6 if hacked else 5.6, 4.3), layout="constrained")
        parts = figure.add_gridspec(2, len(wide), width_ratios=wide)
        left = figure.add_subplot(parts[:, 0])
        _accuracy(left, runs)
        handles, names = left.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False, handlelength=3.2)
        if hacked:
            above = figure.add_subplot(parts[0, 1])
            _hacking(above, figure.add_subplot(parts[1, 1], sharex=above), hacked)
        return save(figure, prefix)


def _accuracy(axes: Axes, runs: Mapping[str, Sequence[Run]]) -> None:
    """On dev: mean over seeds, band from the worst to the best, at the evaluations that all seeds have.

    Seeds that end by time may have their last evaluation an update or two apart: the point is at their mean.
    """
    for kind, its in runs.items():
        colour, marker, line = STYLES[kind]
        found = [run.curve for run in its]
        if not any(run.solutions for run in its):  # nothing is sampled: what it came to, as a level
            ends = [100 * curve[-1][1] for curve in found]
            axes.axhline(sum(ends) / len(ends), color=colour, linestyle=line, label=kind, zorder=2)
            axes.axhspan(min(ends), max(ends), color=colour, alpha=INTERVAL, linewidth=0, zorder=0)
            continue
        points = list(zip(*found))  # of each evaluation the seeds' points, as far as the shortest goes
        xs = [sum(x for x, _ in point) / len(point) for point in points]
        each = [[100 * accuracy for _, accuracy in point] for point in points]
        _curve(axes, xs, each, colour, linestyle=line, marker=marker, label=kind)
    axes.set_title("Greedy accuracy on held-out problems", loc="left")
    axes.set_ylabel("True accuracy, %")
    _solutions(axes)


def _hacking(reward: Axes, accuracy: Axes, runs: Mapping[str, Sequence[Run]]) -> None:
    """Of the training batches: the PRM's reward a solution over that at the beginning, and true accuracy below it."""
    for kind, its in runs.items():
        colour, _, line = STYLES[kind]
        rows = list(zip(*([row for row in run.rows if "reward" in row] for run in its)))
        sampled, xs = 0.0, []
        for together in rows:
            sampled += sum(row["solutions"] for row in together) / len(together)
            xs.append(sampled)
        outcome = float(kind == OUTCOME_TOO)
        paid = [[row["reward"] - outcome * row["accuracy"] for row in together] for together in rows]
        right = [[100 * row["accuracy"] for row in together] for together in rows]
        first = [sum(values) / len(values) for values in zip(*paid[:WINDOW])]
        paid = [[value / start for value, start in zip(values, first, strict=True)] for values in paid]
        _curve(reward, xs, smooth(paid), colour, linestyle=line)
        _curve(accuracy, xs, smooth(right), colour, linestyle=line)
    reward.set_title("PRM reward a solution, over that at the start", loc="left")
    accuracy.set_title("True accuracy of the same solutions, %", loc="left")
    reward.tick_params(labelbottom=False)
    _solutions(accuracy)


def smooth(values: Sequence[Sequence[float]]) -> list[list[float]]:
    """[updates][seeds], each the mean of its seed's last WINDOW updates."""
    found = []
    for end in range(1, len(values) + 1):
        last = values[max(0, end - WINDOW) : end]
        found.append([sum(seed) / len(seed) for seed in zip(*last)])
    return found


def _curve(axes: Axes, xs: Sequence[float], each: Sequence[Sequence[float]], colour: str, **how: Any) -> None:
    mean = [sum(values) / len(values) for values in each]
    axes.plot(xs, mean, color=colour, markevery=max(1, len(xs) // MARKERS), zorder=3, **how)
    low, high = ([choose(values) for values in each] for choose in (min, max))
    axes.fill_between(xs, low, high, color=colour, alpha=INTERVAL, linewidth=0, zorder=1)


def _solutions(axes: Axes) -> None:
    axes.set_xlabel("Solutions sampled")
    axes.set_xlim(left=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x / 1000:g}k" if x >= 1000 else f"{x:g}"))
