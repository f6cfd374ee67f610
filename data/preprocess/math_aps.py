"""MATH-APS (OpenR) and what data/omegaprm writes: MC values of prefixes, as a flat list or as a tree.

Both are read as one set of points, the prefixes whose value is known, so the same values give the same solutions in
either form. A solution is a prefix that no other continues; its steps are what lies between one known prefix and the
next, so there is one label a step, and the question is never in them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from data.preprocess.common import RIGHT, UNKNOWN, WRONG, LabelledSolution, ReadingOptions
from reason.common.rows import BadRow, Row, elements, field, optional, quoted, text_field

BLANK_LINE = "\n\n"  # between the texts of a tree's nodes, as the flat form has it


@dataclass(slots=True)
class PrefixValue:
    """What is known of a prefix."""

    label: int
    value: float | None  # MC value
    c: int | None  # correct completions of
    k: int | None  # this many
    kind: str | None  # estimated, inferred, graded


def read_flat(row: Row, options: ReadingOptions) -> Iterator[LabelledSolution]:
    """`reasoning_steps` is a list of {"solution_prefix": question and steps, "mc_value"}. Raises BadRow."""
    question = text_field(row, "question")
    points: dict[str, PrefixValue] = {}
    if isinstance(row.get("reasoning_steps"), dict):
        raise BadRow("reasoning_steps", "is a tree; read this file as math-aps-tree")
    for i, entry in enumerate(elements(row, "reasoning_steps", dict)):
        at = f"reasoning_steps[{i}]."
        prefix = field(entry, "solution_prefix", str, at).strip()
        steps = prefix.removeprefix(question)
        if not prefix.startswith(question) or not (steps == "" or steps[0].isspace()):
            raise BadRow(f"{at}solution_prefix", "does not begin with the question")
        _add(points, steps.strip(), _point(entry, at, options), options)
    yield from _solutions(question, points, _gap(row))


def read_tree(row: Row, options: ReadingOptions) -> Iterator[LabelledSolution]:
    """`reasoning_steps` is a node {"text", "mc_value", "children"}; the root's text is the question. Raises BadRow."""
    question = text_field(row, "question")
    points: dict[str, PrefixValue] = {}
    if isinstance(row.get("reasoning_steps"), list):
        raise BadRow("reasoning_steps", "is a flat list; read this file as math-aps")
    root = field(row, "reasoning_steps", dict)
    if field(root, "text", str, "reasoning_steps.").strip() != question:
        raise BadRow("reasoning_steps.text", "is not the question")
    between = optional(row, "separator", str) or BLANK_LINE
    open_nodes = [(root, "reasoning_steps.", "")]  # node, where it is, the steps up to its parent
    while open_nodes:
        node, at, above = open_nodes.pop()
        text = field(node, "text", str, at).strip()
        steps = "" if node is root else f"{above}{between}{text}".strip()
        _add(points, steps, _point(node, at, options), options)
        children = enumerate(elements(node, "children", dict, at))
        open_nodes += reversed([(child, f"{at}children[{i}].", steps) for i, child in children])
    yield from _solutions(question, points, _gap(row))


def read_omegaprm(row: Row, options: ReadingOptions) -> Iterator[LabelledSolution]:
    """What data/omegaprm writes, tree or flat. Raises BadRow."""
    yield from (read_tree if isinstance(row.get("reasoning_steps"), dict) else read_flat)(row, options)


def _point(entry: Row, at: str, options: ReadingOptions) -> PrefixValue:
    """The value of an entry and, where data/omegaprm wrote them, its hard label, c, k and kind.

    An inferred step has a label and no value: its 1 stands for "above 0", which says nothing of a higher bound.
    """
    value = entry.get("mc_value", entry)
    if value is not None and (type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value <= 1):
        what = "it is missing" if value is entry else f"not {quoted(value)}"
        raise BadRow(f"{at}mc_value", f"a number from 0 to 1 or null is needed, {what}")
    c, k, kind = optional(entry, "c", int, at), optional(entry, "k", int, at), optional(entry, "kind", str, at)
    if c is not None and k is not None and not 0 <= c <= k:
        raise BadRow(f"{at}c", f"is {c} of k = {k}")
    label = UNKNOWN if value is None else RIGHT if value > (options.hard_above or 0) else WRONG
    given = optional(entry, "label", int, at) if "label" in entry else label
    if given not in (RIGHT, WRONG, UNKNOWN, None):
        raise BadRow(f"{at}label", f"1, 0, -1 or null is needed, not {given}")
    if options.hard_above is None or given is None:
        label = UNKNOWN if given is None else given
    elif kind == "inferred" and label == RIGHT and options.hard_above > 0:
        label = UNKNOWN
    return PrefixValue(label, None if kind == "inferred" else value, c, k, kind)


def _add(points: dict[str, PrefixValue], steps: str, point: PrefixValue, options: ReadingOptions) -> None:
    """Keep what is known of a prefix; of several entries for one prefix the first stands."""
    options.notes["repeated prefixes left out"] += steps in points
    points.setdefault(steps, point)


def _gap(row: Row) -> re.Pattern[str]:
    """What lies between two steps: the end of a line, or the mark in data/omegaprm's separator."""
    mark = (optional(row, "separator", str) or "").strip()
    return re.compile(rf"\s*{re.escape(mark)}\s*" if mark else r"[^\S\n]*\n")


def _solutions(question: str, points: dict[str, PrefixValue], gap: re.Pattern[str]) -> Iterator[LabelledSolution]:
    """One solution for each prefix that no other continues, in the order of the row.

    In sorted order a text is followed by all that begin with it, so one stack holds the prefixes that may lie above.
    """
    points.pop("", None)  # the bare question is no step
    chains: dict[str, list[str]] = {}
    stack: list[str] = []
    for prefix in sorted(points):
        while stack and not prefix.startswith(stack[-1]):
            stack.pop()
        chains[prefix] = [*(above for above in stack if gap.match(prefix, len(above))), prefix]
        stack.append(prefix)
    continued = {above for chain in chains.values() for above in chain[:-1]}
    for leaf in points:
        if leaf not in continued:
            yield _solution(question, chains[leaf], points, gap)


def _solution(
    question: str, chain: list[str], points: dict[str, PrefixValue], gap: re.Pattern[str]
) -> LabelledSolution:
    """The solution whose known prefixes are `chain`, shortest first."""
    steps, start = [], 0
    for prefix in chain:
        steps.append(prefix[start:].strip())
        behind = gap.match(chain[-1], len(prefix))
        start = behind.end() if behind else len(prefix)
    known = [points[prefix] for prefix in chain]
    columns = {name: [getattr(point, name) for point in known] for name in ("c", "k", "kind")}
    given: dict[str, Any] = {
        name: column for name, column in columns.items() if any(value is not None for value in column)
    }
    return LabelledSolution(question, steps, [p.label for p in known], [p.value for p in known], **given)
