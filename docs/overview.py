"""Draws figure/overview.svg, the picture of README.md: `python docs/overview.py`.

Left: the loop from search to process data, PRM, policy and back. Right: what the PRM is worth on the embedded task,
from the main table of docs/results.md. Boxes have a background of their own, so a light and a dark page can hold it.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

OUT = Path(__file__).resolve().parents[1] / "figure" / "overview.svg"
INK, LINE, PAPER = "#1f2328", "#8b949e", "#ffffff"
BLUE, GREEN, VIOLET, AMBER, RED = "#dbeafe", "#bbf7d0", "#ede9fe", "#fef3c7", "#fecaca"
BARS = [("greedy", 62.3, LINE), ("majority of 16", 64.2, LINE), ("best-of-16, PRM", 90.9, "#2563eb"),
        ("best-of-16, oracle", 92.2, "#15803d")]  # fmt: skip


def box(ax: Axes, x: float, y: float, width: float, height: float, colour: str, title: str, text: str) -> None:
    """A rounded box with its lower left corner at (x, y)."""
    ax.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0,rounding_size=0.12", fc=colour, ec=LINE))
    ax.text(x + width / 2, y + height - 0.30, title, ha="center", va="center", color=INK, weight="bold", size=11)
    ax.text(
        x + width / 2, y + (height - 0.42) / 2, text, ha="center", va="center", color=INK, size=8.5, linespacing=1.35
    )


def arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """An arrow in a grey that is seen on white and on black."""
    ax.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=16, lw=2, color=LINE))


def tree(ax: Axes, x: float, y: float) -> None:
    """A small search tree: circles are steps, coloured by their score."""
    nodes = {"root": (0, 1.5, PAPER), "a": (-0.85, 0.75, GREEN), "b": (0, 0.75, RED), "c": (0.85, 0.75, GREEN),
             "d": (-1.15, 0, GREEN), "e": (-0.55, 0, RED), "f": (0.55, 0, RED), "g": (1.15, 0, GREEN)}  # fmt: skip
    for child, parent in {"a": "root", "b": "root", "c": "root", "d": "a", "e": "a", "f": "c", "g": "c"}.items():
        (x0, y0, _), (x1, y1, _) = nodes[parent], nodes[child]
        ax.plot([x + x0, x + x1], [y + y0, y + y1], color=LINE, lw=1.4, zorder=2)
    for dx, dy, colour in nodes.values():
        ax.plot(x + dx, y + dy, "o", ms=12, mfc=colour, mec=INK, mew=0.9, zorder=3)


def loop(ax: Axes) -> None:
    """The left part."""
    ax.set(xlim=(0, 10), ylim=(0, 5.6))
    ax.axis("off")
    box(ax, 0.1, 3.3, 2.3, 1.3, BLUE, "Policy LM", "writes steps")
    box(ax, 7.6, 3.3, 2.3, 1.3, GREEN, "PRM", "scores each step")
    box(ax, 3.35, 2.25, 3.3, 3.25, PAPER, "Search", "")
    ax.text(5, 4.88, "best-of-N, beam search, DVTS,\nREBASE, MCTS ...: one budget N", ha="center", va="center", size=8,
            color=INK)  # fmt: skip
    tree(ax, 5, 2.55)
    box(ax, 0.1, 0.2, 2.9, 1.3, VIOLET, "Policy RL", "APPO, TPPO, GRPO, RLOO\nverdict and PRM as reward")
    box(ax, 3.55, 0.2, 2.9, 1.3, AMBER, "Process data", "steps labelled by rollouts\n(OmegaPRM), no humans")
    box(ax, 7.0, 0.2, 2.9, 1.3, AMBER, "PRM training", "hard, soft or outcome labels;\njudges")
    arrow(ax, (2.4, 3.95), (3.35, 3.95))
    arrow(ax, (7.6, 3.95), (6.65, 3.95))
    arrow(ax, (5, 2.25), (5, 1.5))
    arrow(ax, (6.45, 0.85), (7.0, 0.85))
    arrow(ax, (8.75, 1.5), (8.75, 3.3))
    arrow(ax, (1.25, 1.5), (1.25, 3.3))
    arrow(ax, (3.6, 2.25), (2.6, 1.5))


def bars(ax: Axes) -> None:
    """The right part."""
    ax.set(xlim=(0, 100), ylim=(-0.6, len(BARS) - 0.15))
    ax.axis("off")
    ax.add_patch(FancyBboxPatch((-2, -0.62), 104, len(BARS) + 0.5, boxstyle="round,pad=0,rounding_size=0.12", fc=PAPER,
                                ec=LINE, mutation_aspect=0.03, clip_on=False))  # fmt: skip
    ax.text(2, len(BARS) - 0.38, "Right answers, 1,000 questions, %", color=INK, weight="bold", size=10, va="center")
    for row, (name, value, colour) in enumerate(reversed(BARS)):
        ax.text(2, row + 0.27, name, color=INK, size=9, va="center")
        ax.barh(row - 0.12, value * 0.84, left=2, height=0.36, color=colour)
        ax.text(value * 0.84 + 4, row - 0.12, f"{value}", color=INK, size=9, va="center")


def main() -> None:
    """Draw and save."""
    plt.rcParams.update({"font.family": "DejaVu Sans", "svg.hashsalt": "openr"})
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4.2), width_ratios=[2.6, 1])
    loop(left)
    bars(right)
    figure.subplots_adjust(left=0.01, right=0.985, top=0.97, bottom=0.03, wspace=0.06)
    figure.savefig(OUT, transparent=True, metadata={"Date": None})


if __name__ == "__main__":
    main()
