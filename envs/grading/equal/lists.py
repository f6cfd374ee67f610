"""Several answers: lists, values with ±, finite sets, and which of them may stand for which."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from envs.grading.equal.algebra import Undecided
from envs.grading.equal.judge import Judge, Outcome
from envs.grading.equal.relations import equal_relations, exact_part, named
from envs.grading.equal.sets import equal_sets, is_set
from envs.grading.equal.signs import expand_signs, has_sign
from envs.grading.read.nodes import Braces, Group, Listing, NamedSet, Node, Relation, SetOp, Sym, symbols


def equal_lists(gold: Node, answer: Node, judge: Judge) -> Outcome:
    """Two answers of which at least one is a list."""
    gold, answer = as_list(gold), as_list(answer)
    for listing, other in ((gold, answer), (answer, gold)):
        if isinstance(listing, Listing) and (is_set(other) or isinstance(other, Braces)) and is_set(listing):
            return equal_sets_of_numbers(gold, answer, judge)
        if isinstance(listing, Listing) and isinstance(other, SetOp) and all(map(_is_interval_like, listing.items)):
            return equal_sets_of_numbers(gold, answer, judge)  # (1,2) or (3,4)
    gold_items, answer_items = _items(gold), _items(answer)
    if gold_items is None or answer_items is None:
        if any(isinstance(node, Listing) and node.word == "or" for node in (gold, answer)):
            return Outcome(_one_in_several_forms(gold, answer, judge), "list")
        lists = isinstance(gold, Listing) or isinstance(answer, Listing)
        return Outcome(False, "several answers against one" if lists else "list")
    if isinstance(gold, Listing) and isinstance(answer, Listing):
        return _two_lists(gold, answer, judge)
    left, right = _values(gold_items), _values(answer_items)
    if isinstance(gold, Group) or isinstance(answer, Group):
        if not judge.policy.list_as_tuple:
            return Outcome(False, "list")
        return Outcome(judge.ordered(left, right), "tuple")
    if isinstance(gold, Braces) or isinstance(answer, Braces):
        allowed = judge.policy.list_as_set or isinstance(gold, type(answer))
        return Outcome(allowed and judge.unordered(left, right, distinct=True), "set")
    return Outcome(judge.unordered(left, right, distinct=True), "list")


def _one_in_several_forms(gold: Node, answer: Node, judge: Judge) -> bool:
    """15 39/40 or 639/40: alternatives that are all equal are one answer."""
    left, right = (_values(node.items) if isinstance(node, Listing) else (node,) for node in (gold, answer))
    items = [*left, *right]
    return all(judge.same(a, b).equal for a, b in combinations(items, 2))


def _two_lists(gold: Listing, answer: Listing, judge: Judge) -> Outcome:
    if is_set(gold) and is_set(answer) and all(isinstance(i, Relation) for i in gold.items + answer.items):
        if judge.unordered(gold.items, answer.items):
            return Outcome(True, "list")
        return Outcome(equal_sets(gold, answer), "set")
    gold_names, answer_names = _names(gold), _names(answer)
    if (gold_names is None) != (answer_names is None):  # x = 1, y = 2 against 1, 2: in order where the names differ
        names = gold_names or answer_names or []
        left, right = _values(gold.items), _values(answer.items)
        different = len({_without_index(name) for name in names}) == len(names)
        return Outcome(judge.ordered(left, right) if different else judge.unordered(left, right), "list")
    if judge.policy.ordered_lists:
        return Outcome(judge.ordered(gold.items, answer.items), "list")
    return Outcome(judge.unordered(gold.items, answer.items), "list")


def _names(listing: Listing) -> list[Node] | None:
    """The names of the items, where each has one."""
    names = [named(item)[0] for item in listing.items]
    known = [name for name in names if name is not None]
    return known if len(known) == len(names) else None


def _without_index(name: Node) -> Node:
    """x of x_1."""
    return Sym(name.name.partition("_")[0]) if isinstance(name, Sym) else name


def _values(items: Sequence[Node]) -> tuple[Node, ...]:
    """The items without their names and approximations."""
    return tuple(named(exact_part(item))[1] for item in items)


def _items(node: Node) -> tuple[Node, ...] | None:
    if isinstance(node, Listing):
        return node.items
    name, inner = named(node)
    if name is not None and isinstance(inner, (Group, Braces, Listing)):
        return _items(inner)
    if isinstance(node, (Braces, Group)):
        return node.items if not isinstance(node, Group) or (node.open, node.close) == ("(", ")") else None
    return _finite(node) if isinstance(node, SetOp) else None


def as_list(node: Node) -> Node:
    """A value with ± as the list of its values; within sets and lists, in its place."""
    if isinstance(node, (Listing, Braces)):
        items = tuple(value for item in node.items for value in _with_signs(item))
        return Listing(items, node.word) if isinstance(node, Listing) else Braces(items)
    return Listing(_with_signs(node), "or") if has_sign(node) else node


def _with_signs(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Relation) and has_sign(node):
        name, inner = named(node)
        return expand_signs(inner) if name is not None else (node,)
    return expand_signs(node) if has_sign(node) else (node,)


# -- sets of numbers ---------------------------------------------------------------------------------------------------


def equal_sets_of_numbers(gold: Node, answer: Node, judge: Judge) -> Outcome:
    """Intervals, unions, inequalities; by their trees where the ends hold variables."""
    if isinstance(gold, Group) and isinstance(answer, Group):
        ends = (gold.open, gold.close) == (answer.open, answer.close)
        return Outcome(ends and judge.ordered(gold.items, answer.items), "interval")
    if isinstance(gold, NamedSet) and isinstance(answer, NamedSet):
        return Outcome(gold == answer, "set")
    left, right = _finite(gold), _finite(answer)
    if left is not None and right is not None:
        return Outcome(judge.unordered(left, right, distinct=True), "set")
    if not all(is_set(node) or isinstance(node, (Group, Braces, Listing)) for node in (gold, answer)):
        return Outcome(False, "a set against a value")
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        try:
            if equal_relations(gold, answer):
                return Outcome(True, "inequality")
        except Undecided:
            pass
        if len(symbols(gold) | symbols(answer)) > 1:
            return Outcome(False, "inequality")
    if isinstance(gold, SetOp) and isinstance(answer, SetOp) and gold.name == answer.name and symbols(gold):
        return Outcome(judge.unordered((gold.left, gold.right), (answer.left, answer.right)), "set")
    return Outcome(equal_sets(gold, answer), "set")


def _is_interval_like(node: Node) -> bool:
    return is_set(node) or (isinstance(node, Group) and len(node.items) == 2)


def _finite(node: Node) -> tuple[Node, ...] | None:
    """The elements of a set that is written out, also through unions and the like of such sets."""
    if isinstance(node, Braces):
        return node.items
    if isinstance(node, NamedSet) and node.name == "empty":
        return ()
    if isinstance(node, SetOp):
        left, right = _finite(node.left), _finite(node.right)
        if left is None or right is None:
            return None
        if node.name == "union":
            return left + right
        return tuple(item for item in left if (item in right) == (node.name == "intersection"))
    return None
