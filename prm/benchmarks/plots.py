"""Plots of the benchmarks, drawn with matplotlib without a display: PNG and SVG in the look of the search curves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from prm.benchmarks.cases import Figures, ScoredCases
from prm.benchmarks.first_error import Curve
from prm.benchmarks.steps import BINS, distinct
from reason.evaluation.curves import INTERVAL, OTHERS, PRINT, STYLES, save
from reason.reranking import MAJORITY

LOOKS = [*STYLES.values(), *OTHERS]  # colour, marker, line
GREY = "#666666"
RIGHT, WRONG = "#332288", "#CC6677"


@contextmanager
def figure(name: str, out: Path, written: list[Path], **options: Any) -> Iterator[Any]:
    """Axes, saved as `name`.png and .svg at the end of the block; the files are added to `written`."""
    with plt.rc_context(PRINT):
        drawn, axes = plt.subplots(layout="constrained", **options)
        yield axes
        written += save(drawn, out / name)


def reliability(rows: Sequence[Figures], out: Path) -> list[Path]:
    """Share of right steps against the mean score of each bin, and below how many steps each bin holds."""
    rows, written = [row for row in rows if row["reliability"]], list[Path]()
    if not rows:
        return []
    options = {"nrows": 2, "sharex": True, "figsize": (4.6, 4.8), "height_ratios": (3, 1)}
    with figure("reliability", out, written, **options) as (above, below):
        above.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=(0, (4, 3)), label="calibrated")
        for row, (colour, marker, line) in zip(rows, LOOKS, strict=False):
            bins = row["reliability"]
            label = f"{row['name']} (ECE {row['ece']:.3f})"
            above.plot([b["score"] for b in bins], [b["target"] for b in bins], color=colour, marker=marker,
                       linestyle=line, label=label)  # fmt: skip
            counts = np.zeros(BINS)
            for b in bins:
                counts[round(b["low"] * BINS)] = b["count"]
            below.stairs(100 * counts / counts.sum(), np.linspace(0, 1, BINS + 1), color=colour, linewidth=1.4)
        above.set(ylabel="Share of right steps", xlim=(0, 1), ylim=(-0.03, 1.03))
        above.legend(frameon=False, loc="best")
        below.set(xlabel="Step score", ylabel="Steps, %", ylim=(0, None))
    return written


def histograms(scored: Sequence[ScoredCases], out: Path) -> list[Path]:
    """Scores of right and of wrong steps, one panel a file."""
    written: list[Path] = []
    options = {"ncols": len(scored), "figsize": (3.9 * len(scored), 3.0), "squeeze": False}
    with figure("scores", out, written, **options) as grid:
        for axes, subset in zip(grid[0], scored, strict=True):
            steps = distinct(subset)
            edges = np.linspace(min(0, steps.scores.min()), max(1, steps.scores.max()), 31)
            for label, colour, name in ((1, RIGHT, "right"), (0, WRONG, "wrong")):
                mine = steps.scores[steps.labels == label]
                if len(mine):
                    counts, _ = np.histogram(mine, edges)
                    axes.stairs(100 * counts / len(mine), edges, fill=True, color=colour, alpha=0.45,
                                label=f"{name} (n = {len(mine)})")  # fmt: skip
            axes.set_title(subset.name, loc="left")
            axes.set(xlabel="Step score", ylabel="Share of its kind, %")
            axes.legend(frameon=False)
    return written


def first_error(scored: Sequence[ScoredCases], rows: Sequence[Figures], out: Path) -> list[Path]:
    """F1 against the threshold, with a mark at each threshold of the tables."""
    kept = [subset for subset in scored if Curve(subset).best() is not None]
    if not kept:
        return []
    everything = np.concatenate([scores for subset in kept for scores in subset.scores])
    low, high = min(0.0, float(everything.min())), max(1.0, float(everything.max()))
    written: list[Path] = []
    with figure("f1_by_threshold", out, written, figsize=(6.4, 3.6)) as axes:
        at = np.linspace(low, high, 1001)
        for subset, (colour, marker, line) in zip(kept, LOOKS, strict=False):
            curve = Curve(subset)
            axes.plot(at, 100 * curve(at)[0], color=colour, linestyle=line, label=subset.name, linewidth=1.4)
            for row in rows:
                if row["name"] == subset.name:
                    x = np.array(row["threshold"])
                    axes.plot(x, 100 * curve(x)[0], color=colour, marker=marker, linestyle="")
        fixed = {row["threshold_name"]: row["threshold"][0] for row in rows if len(row["threshold"]) == 1}
        for name, x in fixed.items():
            axes.axvline(x, color=GREY, linewidth=0.8, linestyle=":", zorder=0)
            axes.annotate(name, (x, 1), (2, -2), xycoords=("data", "axes fraction"), textcoords="offset points",
                          fontsize=7.5, color=GREY, rotation=90, va="top")  # fmt: skip
        axes.set(xlabel="Threshold on the step score", ylabel="F1 of the first error, %",
                 ylim=(0, 102), xlim=(low, high))  # fmt: skip
        axes.figure.legend(loc="outside right center", frameon=False)
    return written


def against_baselines(step_rows: Sequence[Figures], error_rows: Sequence[Figures], out: Path) -> list[Path]:
    """AUC and best F1 of every scorer with its interval, one line a scorer."""
    names = [row["name"] for row in step_rows]
    best = {row["name"]: row for row in reversed(error_rows)}  # the first of each name: the cross-fitted one
    step = {row["name"]: row for row in step_rows}
    panels = (("AUC of steps, %", step, "auc"), ("F1 of the first error, %", best, "f1"))
    written: list[Path] = []
    options = {"ncols": 2, "sharey": True, "figsize": (7.6, 0.42 * len(names) + 1.0)}
    with figure("baselines", out, written, **options) as grid:
        for axes, (title, rows, key) in zip(grid, panels, strict=True):
            for y, name in enumerate(names):
                row = rows[name]
                if row[key] is None:
                    continue
                colour = RIGHT if y == 0 else GREY
                if row[f"{key}_interval"]:
                    axes.hlines(y, *(100 * end for end in row[f"{key}_interval"]), color=colour, alpha=0.5, linewidth=4)
                axes.plot(100 * row[key], y, marker="o", color=colour)
                axes.annotate(f"{100 * row[key]:.1f}", (100 * row[key], y), (0, 5), textcoords="offset points",
                              ha="center", fontsize=7.5, color=colour)  # fmt: skip
            axes.set(xlabel=title, xlim=(0, 104), ylim=(len(names) - 0.4, -0.7))
            axes.set_xticks(range(0, 101, 25))
        grid[0].figure.get_layout_engine().set(wspace=0.06)
        grid[0].axvline(50, color=GREY, linewidth=0.8, linestyle=":", zorder=0)  # chance
        grid[0].set_yticks(range(len(names)), names)
    return written


def best_of_n(rows: Sequence[Figures], own: str, out: Path) -> list[Path]:
    """Accuracy against N for every vote: weighted votes on the left, the best solution on the right."""
    names = list(dict.fromkeys(row["name"] for row in rows))
    looks = dict(zip((name.split("_")[1] for name in names if name.endswith("_vote") and name != MAJORITY), LOOKS,
                     strict=False))  # fmt: skip
    shared = {"coverage": ("#AAAAAA", "^", ":"), MAJORITY: ("#444444", "x", (0, (5, 2)))}
    written: list[Path] = []
    with figure("best_of_n", out, written, ncols=2, sharey=True, figsize=(7.8, 3.7)) as grid:
        for axes, rule, title in zip(grid, ("vote", "max"), ("weighted vote", "best solution"), strict=True):
            for name in names:
                if name not in shared and not name.endswith(f"_{rule}"):
                    continue
                colour, marker, line = shared.get(name) or looks[name.split("_")[1]]
                mine = [row for row in rows if row["name"] == name]
                xs, ys = [row["budget"] for row in mine], [100 * row["accuracy"] for row in mine]
                label, wide = (f"{name} (the card's)", 2.6) if name == own else (name, 1.3)
                axes.plot(xs, ys, color=colour, marker=marker, linestyle=line, linewidth=wide, label=label)
                if name in (own, MAJORITY):
                    axes.fill_between(xs, *([100 * row["accuracy_interval"][end] for row in mine] for end in (0, 1)),
                                      color=colour, alpha=INTERVAL, linewidth=0)  # fmt: skip
            axes.set_xscale("log", base=2)
            budgets = sorted({row["budget"] for row in rows})
            axes.set_xticks(budgets, [str(n) for n in budgets])
            axes.minorticks_off()
            axes.set_title(title, loc="left")
            axes.set_xlabel("N solutions")
            axes.legend(frameon=False, fontsize=7.5)
        grid[0].set_ylabel("Accuracy, %")
    return written
