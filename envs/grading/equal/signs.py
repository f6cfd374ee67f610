"""Values with ± and ∓: several in one."""

from __future__ import annotations

from dataclasses import replace

from envs.grading.read.nodes import Call, Group, Named, Node, Quantity, children, mentions


def has_sign(node: Node) -> bool:
    """Whether ± or ∓ occurs."""
    return mentions(node, "pm") or mentions(node, "mp")


def expand_signs(node: Node) -> tuple[Node, ...]:
    """The values of an expression with ±: every combination, or the two linked ones where ∓ occurs as well."""
    linked = mentions(node, "mp")
    count = 1 if linked else min(_count_signs(node), 4)
    return tuple(_choose(node, [(k >> i) & 1 for i in range(count)], linked)[0] for k in range(2**count))


def _count_signs(node: Node) -> int:
    return (isinstance(node, Call) and node.name in ("pm", "mp")) + sum(map(_count_signs, children(node)))


def _choose(node: Node, choice: list[int], linked: bool, used: int = 0) -> tuple[Node, int]:
    if isinstance(node, Quantity):
        inner, used = _choose(node.value, choice, linked, used)
        return Quantity(inner, node.unit), used
    if isinstance(node, Group):
        items = []
        for item in node.items:
            new, used = _choose(item, choice, linked, used)
            items.append(new)
        return Group(node.open, node.close, tuple(items)), used
    if not isinstance(node, (Call, Named)):
        return node, used
    sign = 0
    if isinstance(node, Call) and node.name in ("pm", "mp"):
        index = 0 if linked else min(used, len(choice) - 1)
        used += 1
        sign = 1 if choice[index] == (node.name == "mp") else -1
    args = []
    for arg in node.args:
        new, used = _choose(arg, choice, linked, used)
        args.append(new)
    if not sign:
        return replace(node, args=tuple(args)), used
    return Call("+", (args[0], args[1] if sign > 0 else Call("neg", (args[1],)))), used
