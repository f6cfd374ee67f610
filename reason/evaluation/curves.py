"""Curves of accuracy against what was spent, drawn with matplotlib without a display: PNG and SVG, fit for print.

One panel a scorer, all methods on the same axes. Colours are of Paul Tol's muted palette, which colour-blind readers
can tell apart; markers and line styles tell the methods apart without colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

CurvePoint = dict[str, Any]  # a run at one budget, as report.py tells it
X_AXES = {
    "budget": "Budget N (solutions' worth of sampled steps)",
    "lm_tokens": "LM tokens generated per question",
    "all_tokens": "LM + PRM tokens computed per question",
    "seconds": "Seconds per question",
}
STYLES = {  # colour, marker, line
    "best_of_n": ("#332288", "o", "-"),
    "beam_search": ("#CC6677", "s", "-"),
    "dvts": ("#117733", "^", "-"),
    "lookahead": ("#88CCEE", "D", "--"),
    "rebase": ("#999933", "v", "--"),
    "particle_filtering": ("#AA4499", "P", "--"),
    "vanila_mcts": ("#44AA99", "X", "-"),
    "mcts_alpha": ("#882255", "*", "-."),
    "adaptive_best_of_n": ("#6699CC", "h", ":"),
}
OTHERS = (("#DDCC77", "<", "-."), ("#661100", ">", "-."), ("#888888", "p", ":"), ("#000000", "H", ":"))
GREEDY = ("#444444", "x", (0, (5, 2)))
INTERVAL = 0.13  # opacity of the bands
PRINT: dict[Any, Any] = {
    "font.size": 9, "axes.titlesize": 9.5, "axes.labelsize": 9, "legend.fontsize": 8.5, "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "#DDDDDD", "grid.linewidth": 0.6, "lines.linewidth": 1.6, "lines.markersize": 5.5,
    "savefig.dpi": 200, "svg.hashsalt": "openr",
}  # fmt: skip


def draw(rows: Sequence[CurvePoint], out: Path) -> list[Path]:
    """Write accuracy_by_<x>.png and .svg for every axis on which there is something; returns the files.

    `rows` are those of report.py: label, method, LM, scorer, headline as (mean, low, high), and the axes' values.
    """
    written = []
    rows = [row for row in rows if row["headline"]]
    with plt.rc_context(PRINT):
        for x in X_AXES:
            if not any(row[x] for row in rows if row["method"] != "cot"):
                continue
            written += save(_figure(rows, x), out / f"accuracy_by_{x}")
    return written


def save(figure: Figure, path: Path) -> list[Path]:
    """Write `path`.png and .svg, the same bytes for the same figure, and close it; returns the files."""
    files = [path.with_name(f"{path.name}.{kind}") for kind in ("png", "svg")]
    for file in files:
        figure.savefig(file, bbox_inches="tight", metadata={"Date": None} if file.suffix == ".svg" else None)
    plt.close(figure)
    return files


def _figure(rows: Sequence[CurvePoint], x: str) -> Figure:
    """One panel for each LM and scorer, side by side on one scale of accuracy; what has no scorer is in each."""
    panels = list(dict.fromkeys((row["LM"], row["scorer"]) for row in rows if row["scorer"] != "-"))
    panels = panels or [(lm, "-") for lm in dict.fromkeys(row["LM"] for row in rows)]
    several = len({lm for lm, _ in panels}) > 1
    styles = _styles(rows)
    figure, grid = plt.subplots(
        1, len(panels), figsize=(4.2 * len(panels) + 0.4, 3.7), sharey=True, squeeze=False, layout="constrained"
    )
    for axes, (lm, scorer) in zip(grid[0], panels):
        mine = [row for row in rows if row["LM"] == lm and row["scorer"] in ("-", scorer)]
        _panel(axes, mine, x, styles)
        scored = "no scorer" if scorer == "-" else f"scorer: {scorer}"
        axes.set_title(f"{lm}, {scored}" if several else scored, loc="left")
        axes.set_xlabel(X_AXES[x])
    grid[0][0].set_ylabel("Accuracy, %")
    figure.legend(handles=_legend(rows, styles), loc="outside right center", frameon=False, handlelength=3)
    return figure


def _styles(rows: Iterable[CurvePoint]) -> dict[str, tuple[str, str, Any]]:
    """Curve -> style: its method's own; the next free one for a second curve of a method, or an unknown method."""
    methods = {row["label"]: row["method"] for row in rows if row["method"] != "cot"}
    styles: dict[str, tuple[str, str, Any]] = {}
    others = [*OTHERS, *(style for method, style in STYLES.items() if method not in methods.values())]
    for label, method in methods.items():
        own = STYLES.get(method)
        if own is None or own in styles.values():
            own = others[sum(style in others for style in styles.values()) % len(others)]
        styles[label] = own
    return styles


def _panel(axes: Axes, rows: Sequence[CurvePoint], x: str, styles: dict[str, tuple[str, str, Any]]) -> None:
    """Every curve with its band; greedy chain of thought as a horizontal line."""
    for label, (colour, marker, line) in styles.items():
        points = sorted((row for row in rows if row["label"] == label and row[x]), key=lambda row: row[x])
        if not points:
            continue
        xs = [row[x] for row in points]
        mean, low, high = ([100 * row["headline"][i] for row in points] for i in range(3))
        axes.plot(xs, mean, color=colour, linestyle=line, zorder=3)
        faces = ["white" if row["subsampled_from"] else colour for row in points]
        axes.scatter(xs, mean, marker=marker, s=30, facecolors=faces, edgecolors=colour, linewidths=1.1, zorder=4)
        if len(points) > 1:
            axes.fill_between(xs, low, high, color=colour, alpha=INTERVAL, linewidth=0, zorder=1)
        else:
            axes.vlines(xs, low, high, color=colour, alpha=0.5, linewidth=3, zorder=1)
    for row in (row for row in rows if row["method"] == "cot"):
        mean, low, high = (100 * value for value in row["headline"])
        colour, marker, line = GREEDY
        axes.axhline(mean, color=colour, linestyle=line, linewidth=1.1, zorder=2)
        axes.axhspan(low, high, color=colour, alpha=INTERVAL / 2, linewidth=0, zorder=0)
        if row[x]:
            axes.plot([row[x]], [mean], marker=marker, color=colour, markeredgewidth=1.6, zorder=4)
    _scale(axes, [row[x] for row in rows if row[x]], budget=x == "budget")


def _scale(axes: Axes, values: Sequence[float], budget: bool) -> None:
    """A logarithmic axis with plain numbers: base 2 with a tick at each budget, else 1, 2, 5, 10..."""
    axes.set_xscale("log", base=2 if budget else 10)
    if budget:
        axes.xaxis.set_major_locator(FixedLocator(sorted(set(values))))
    else:
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _legend(rows: Sequence[CurvePoint], styles: dict[str, tuple[str, str, Any]]) -> list[Line2D]:
    """The curves, best at its largest budget first, then greedy and what a hollow marker is."""

    def last(label: str) -> float:
        mine = [row for row in rows if row["label"] == label]
        return float(max(mine, key=lambda row: row["lm_tokens"])["headline"][0])

    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle=line, label=label)
        for label, (colour, marker, line) in sorted(styles.items(), key=lambda item: -last(item[0]))
    ]
    if any(row["method"] == "cot" for row in rows):
        colour, marker, line = GREEDY
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle=line, linewidth=1.1, label="cot (greedy)"))
    if any(row["subsampled_from"] for row in rows):
        hollow = Line2D([], [], linestyle="", marker="o", markerfacecolor="white", markeredgecolor="#444444")
        hollow.set_label("hollow: subsampled")
        handles.append(hollow)
    return handles
