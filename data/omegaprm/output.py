"""MATH-APS lines, tree and flat, with the public fields; what else a label carries stands in keys beside them.

Tree: `reasoning_steps` is a node {text, mc_value, children} for the question, whose text is the question; a child's
text is what it adds to its parent, without the separator around it. Every labelled step is a node of its own; steps
that no label was found for are part of the next labelled one's text.
Flat: `reasoning_steps` is a list of {solution_prefix, mc_value}, in the tree's order; a prefix is the question, a
blank line, and the steps. Beside them, on each label: `label` (1 right, 0 wrong), `kind` (estimated, inferred, graded),
`c` and `k` (c of k rollouts ended right; null where none tell), `source`, `policy`, `temperature`. On each line:
`separator` of the steps, `searched` (the labelled solutions: their steps, how many of them the state had that they
were drawn from, whether they are right, and the index of the first error), `counts`, `ledger`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from data.omegaprm.labels import Label
from data.omegaprm.tree import Prefix

TreeNode = dict[str, Any]
LabelRecord = dict[str, Any]

PUBLIC = ("question", "final_answer", "question_id", "reasoning_steps")
BESIDE = ("separator", "searched", "counts", "ledger")


def nest(question: str, labels: dict[Prefix, Label], separator: str, marks: dict[str, Any]) -> TreeNode:
    """The tree of all labels; `marks` is set on every node."""
    nodes: dict[Prefix, TreeNode] = {}
    for prefix in sorted(labels, key=len):  # parents first, else in the order in which they were found
        above = next((prefix[:n] for n in range(len(prefix) - 1, -1, -1) if prefix[:n] in nodes), None)
        text = question if above is None else "".join(prefix[len(above) :]).removesuffix(separator)
        label = labels[prefix]
        nodes[prefix] = {"text": text, "mc_value": label.mc_value, "children": [], **_beside(label), **marks}
        if above is not None:
            nodes[above]["children"].append(nodes[prefix])
    return nodes[()]


def flatten(tree: TreeNode, separator: str) -> list[TreeNode]:
    """The flat list of a tree, parents first. Not recursive: a tree is as deep as a solution is long."""
    items, waiting = [], [(tree, "")]
    while waiting:
        node, solution = waiting.pop()
        prefix = f"{tree['text']}\n\n{solution}" if node is not tree else tree["text"]
        items.append({"solution_prefix": prefix} | {k: v for k, v in node.items() if k not in ("text", "children")})
        for child in reversed(node["children"]):
            waiting.append((child, solution + separator + child["text"] if node is not tree else child["text"]))
    return items


def line(record: LabelRecord, as_tree: bool) -> LabelRecord:
    """The output line of a journal's record."""
    steps = record["reasoning_steps"] if as_tree else flatten(record["reasoning_steps"], record["separator"])
    return {name: record[name] for name in (*PUBLIC, *BESIDE)} | {"reasoning_steps": steps}


def solutions(record: LabelRecord) -> Iterator[list[TreeNode]]:
    """The nodes of each labelled solution of a record or a tree line, first step first, the question left out."""
    waiting: list[tuple[TreeNode, list[TreeNode]]] = [(record["reasoning_steps"], [])]
    while waiting:
        node, above = waiting.pop()
        if not node["children"] and above:
            yield above
        waiting += [(child, [*above, child]) for child in reversed(node["children"])]


def _beside(label: Label) -> dict[str, Any]:
    return {"label": int(label.right), "kind": label.kind, "c": label.c, "k": label.k, "source": label.source}
