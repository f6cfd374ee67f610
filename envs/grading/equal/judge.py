"""Equality of two parsed answers, by what they are. The gold's type leads; a type it cannot be is not equal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from envs.grading.equal.algebra import Undecided, equal_expressions, expand_signs, has_sign, matrix
from envs.grading.equal.policy import Policy
from envs.grading.equal.quantities import equal_based, equal_colons, hoist, is_time, plain_unit, readings
from envs.grading.equal.relations import comparable_names, equal_relations, exact_part, is_name, named
from envs.grading.equal.sets import equal_sets, is_set
from envs.grading.equal.words import meaning
from envs.grading.read.nodes import (
    Based,
    Braces,
    Call,
    Colon,
    Group,
    Listing,
    Matrix,
    NamedSet,
    Node,
    Quantity,
    Relation,
    SetOp,
    Words,
    symbols,
)


class Outcome(NamedTuple):
    """Whether the answers are equal, and which rule said so."""

    equal: bool
    path: str


def same(gold: Node, answer: Node, policy: Policy) -> Outcome:
    """Compare two trees; raises Undecided, TooCostly, Undefined."""
    gold, answer = exact_part(gold), exact_part(answer)
    if isinstance(gold, Words):
        gold = meaning(gold)
    if isinstance(answer, Words):
        answer = meaning(answer)
    if gold == answer:
        return Outcome(True, "equal form")
    if isinstance(gold, Words) or isinstance(answer, Words):
        return Outcome(False, "words")
    if _is_list(gold) or _is_list(answer):
        return _lists(gold, answer, policy)
    gold_name, gold_value = named(gold)
    answer_name, answer_value = named(answer)
    if gold_name is not None or answer_name is not None:
        return _named(gold, gold_name, gold_value, answer, answer_name, answer_value, policy)
    return _values(gold, answer, policy)


def _named(
    gold: Node,
    gold_name: Node | None,
    gold_value: Node,
    answer: Node,
    answer_name: Node | None,
    answer_value: Node,
    policy: Policy,
) -> Outcome:
    """`x = 5` against `5`, `x = 5` or an equation that says the same."""
    if gold_name is not None and answer_name is not None:
        if comparable_names(gold_name, answer_name):
            return same(gold_value, answer_value, policy)
        if not is_name(gold_name) or not is_name(answer_name):  # 2 + 3 = 5 against x = 5
            return same(gold_value, answer_value, policy)
        if _words_name(gold_name) or _words_name(answer_name):
            return same(gold_value, answer_value, policy)
    if isinstance(gold, Relation) and isinstance(answer, Relation) and "in" not in gold.ops + answer.ops:
        return _values(gold, answer, policy)
    if gold_name is not None and answer_name is not None:
        return Outcome(False, "name")
    return same(gold_value, answer_value, policy)


def _words_name(node: Node) -> bool:
    return isinstance(node, Words)


def _values(gold: Node, answer: Node, policy: Policy) -> Outcome:
    gold, answer = hoist(gold), hoist(answer)
    if isinstance(gold, Quantity) or isinstance(answer, Quantity):
        outcomes = [
            same(a, b, policy) if not _angles(a, b) else _expressions(a, b, policy)
            for a, b in readings(gold, answer, policy)
        ]
        return Outcome(any(o.equal for o in outcomes), "unit")
    if has_sign(gold) or has_sign(answer):
        return _lists(_as_list(gold), _as_list(answer), policy)
    if is_set(gold) or is_set(answer):
        return _sets(gold, answer, policy)
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        return Outcome(equal_relations(gold, answer), "equation")
    if isinstance(gold, Relation) or isinstance(answer, Relation):
        return Outcome(False, "an equation against a value")
    if isinstance(gold, Based) or isinstance(answer, Based):
        if isinstance(gold, (Based, Call)) or isinstance(answer, (Based, Call)):
            return Outcome(equal_based(gold, answer, policy), "base")
    if isinstance(gold, Colon) or isinstance(answer, Colon):
        return _colons(gold, answer, policy)
    left, right = matrix(gold), matrix(answer)
    if left is not None or right is not None:
        return _matrices(left, right, gold, answer, policy)
    if isinstance(gold, (Group, Braces)) or isinstance(answer, (Group, Braces)):
        return _groups(gold, answer, policy)
    return _expressions(gold, answer, policy)


def _angles(gold: Node, answer: Node) -> bool:
    return any(isinstance(node, Quantity) and node.unit == "degree" for node in (gold, answer))


def _expressions(gold: Node, answer: Node, policy: Policy) -> Outcome:
    """Numbers and expressions, and a number with unit letters against a plain number."""
    if symbols(gold) != symbols(answer) and policy.drop_units:
        for number, other in ((gold, answer), (answer, gold)):
            split = plain_unit(other) if not symbols(number) else None
            if split is not None:
                return same(number, split[0], policy)
    return Outcome(
        equal_expressions(gold, answer, policy), "expression" if symbols(gold) or symbols(answer) else "number"
    )


def _colons(gold: Node, answer: Node, policy: Policy) -> Outcome:
    verdict = equal_colons(gold, answer)
    if verdict is None:
        assert isinstance(gold, Colon) and isinstance(answer, Colon)
        verdict = _ordered(gold.parts, answer.parts, policy)
    times = any(isinstance(node, Colon) and is_time(node) for node in (gold, answer))
    return Outcome(verdict, "time" if times else "ratio")


def _matrices(left: Matrix | None, right: Matrix | None, gold: Node, answer: Node, policy: Policy) -> Outcome:
    if left is not None and right is not None:
        if len(left.rows) != len(right.rows) or len(left.rows[0]) != len(right.rows[0]):
            return Outcome(False, "matrix")
        rows = zip(left.rows, right.rows, strict=True)
        return Outcome(all(_ordered(a, b, policy) for a, b in rows), "matrix")
    one, other = (left, answer) if left is not None else (right, gold)
    assert one is not None
    entries = one.rows[0] if len(one.rows) == 1 else tuple(row[0] for row in one.rows) if len(one.rows[0]) == 1 else ()
    if policy.column_as_tuple and entries and isinstance(other, Group):
        return Outcome(_ordered(entries, other.items, policy), "matrix")
    return Outcome(False, "matrix")


def _sets(gold: Node, answer: Node, policy: Policy) -> Outcome:
    """Intervals, unions, inequalities; by their trees where the ends hold variables."""
    if isinstance(gold, Group) and isinstance(answer, Group):
        ends = (gold.open, gold.close) == (answer.open, answer.close)
        return Outcome(ends and _ordered(gold.items, answer.items, policy), "interval")
    if isinstance(gold, NamedSet) and isinstance(answer, NamedSet):
        return Outcome(gold == answer, "set")
    if _finite(gold) is not None and _finite(answer) is not None:
        return Outcome(_unordered(_finite(gold) or (), _finite(answer) or (), policy, distinct=True), "set")
    if not all(is_set(node) or isinstance(node, (Group, Braces, Listing)) for node in (gold, answer)):
        return Outcome(False, "a set against a value")
    if isinstance(gold, Relation) and isinstance(answer, Relation):
        try:
            if equal_relations(gold, answer):
                return Outcome(True, "inequality")
        except Undecided:
            pass
    if isinstance(gold, SetOp) and isinstance(answer, SetOp) and gold.name == answer.name and symbols(gold):
        return Outcome(_unordered((gold.left, gold.right), (answer.left, answer.right), policy), "set")
    if isinstance(gold, Relation) and isinstance(answer, Relation) and len(symbols(gold) | symbols(answer)) > 1:
        return Outcome(False, "inequality")
    return Outcome(equal_sets(gold, answer), "set")


def _interval_like(node: Node) -> bool:
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


def _groups(gold: Node, answer: Node, policy: Policy) -> Outcome:
    if isinstance(gold, Group) and isinstance(answer, Group):
        brackets = (gold.open, gold.close) == (answer.open, answer.close) or len(gold.items) > 2
        return Outcome(brackets and _ordered(gold.items, answer.items, policy), "tuple")
    if isinstance(gold, Braces) and isinstance(answer, Braces):
        return Outcome(_unordered(gold.items, answer.items, policy, distinct=True), "set")
    for one, other in ((gold, answer), (answer, gold)):
        if (
            isinstance(one, Braces)
            and len(one.items) == 1
            and policy.list_as_set
            and not isinstance(other, (Group, Braces))
        ):
            return same(one.items[0], other, policy)
    return Outcome(False, "a tuple or set against a value")


# -- several answers ---------------------------------------------------------------------------------------------------


def _is_list(node: Node) -> bool:
    return isinstance(node, Listing)


def _as_list(node: Node) -> Node:
    """A value with ± as the list of its values; within sets and lists, in its place."""
    if isinstance(node, (Listing, Braces)):
        items = tuple(value for item in node.items for value in _signs(item))
        return Listing(items, node.word) if isinstance(node, Listing) else Braces(items)
    if has_sign(node):
        return Listing(_signs(node), "or")
    return node


def _signs(node: Node) -> tuple[Node, ...]:
    if isinstance(node, Relation) and has_sign(node):
        name, inner = named(node)
        return expand_signs(inner) if name is not None else (node,)
    return expand_signs(node) if has_sign(node) else (node,)


def _lists(gold: Node, answer: Node, policy: Policy) -> Outcome:
    gold, answer = _as_list(gold), _as_list(answer)
    for one, other in ((gold, answer), (answer, gold)):
        if isinstance(one, Listing) and (is_set(other) or isinstance(other, Braces)) and is_set(one):
            return _sets(gold, answer, policy)
        if isinstance(one, Listing) and isinstance(other, SetOp) and all(_interval_like(item) for item in one.items):
            return _sets(gold, answer, policy)  # (1,2) or (3,4)
    gold_items, answer_items = _items(gold), _items(answer)
    if gold_items is None or answer_items is None:
        if isinstance(gold, Listing) or isinstance(answer, Listing):
            return Outcome(False, "several answers against one")
        return Outcome(False, "list")
    if isinstance(gold, Listing) and isinstance(answer, Listing):
        return _two_lists(gold, answer, policy)
    if isinstance(gold, Group) or isinstance(answer, Group):
        if not policy.list_as_tuple:
            return Outcome(False, "list")
        return Outcome(_ordered(_stripped(gold_items), _stripped(answer_items), policy), "tuple")
    if isinstance(gold, Braces) or isinstance(answer, Braces):
        ok = policy.list_as_set or isinstance(gold, type(answer))
        return Outcome(ok and _unordered(_stripped(gold_items), _stripped(answer_items), policy, distinct=True), "set")
    return Outcome(_unordered(_stripped(gold_items), _stripped(answer_items), policy, distinct=True), "list")


def _two_lists(gold: Listing, answer: Listing, policy: Policy) -> Outcome:
    if is_set(gold) and is_set(answer) and all(isinstance(i, Relation) for i in gold.items + answer.items):
        if _unordered(gold.items, answer.items, policy):
            return Outcome(True, "list")
        return Outcome(equal_sets(gold, answer), "set")
    left, right = [named(i)[0] for i in gold.items], [named(i)[0] for i in answer.items]
    left_named, right_named = None not in left, None not in right
    if left_named != right_named:  # x = 1, y = 2 against 1, 2: in order where the names differ
        names = left if left_named else right
        different = len({str(name).partition("_")[0] for name in names}) == len(names)
        items = _stripped(gold.items), _stripped(answer.items)
        return Outcome(_ordered(*items, policy) if different else _unordered(*items, policy), "list")
    if policy.ordered_lists:
        return Outcome(_ordered(gold.items, answer.items, policy), "list")
    return Outcome(_unordered(gold.items, answer.items, policy), "list")


def _stripped(items: Sequence[Node]) -> tuple[Node, ...]:
    return tuple(named(exact_part(item))[1] for item in items)


def _items(node: Node) -> tuple[Node, ...] | None:
    if isinstance(node, Listing):
        return node.items
    name, inner = named(node)
    if name is not None and isinstance(inner, (Group, Braces, Listing)):
        return _items(inner)
    if isinstance(node, (Braces, Group)):
        return node.items if not isinstance(node, Group) or (node.open, node.close) == ("(", ")") else None
    if isinstance(node, SetOp):
        return _finite(node)
    return None


def _ordered(left: Sequence[Node], right: Sequence[Node], policy: Policy) -> bool:
    return len(left) == len(right) and all(same(a, b, policy).equal for a, b in zip(left, right, strict=True))


def _unordered(left: Sequence[Node], right: Sequence[Node], policy: Policy, distinct: bool = False) -> bool:
    """Each item has its partner; with `distinct`, repeated items count once."""
    equal = _memo(policy)
    if distinct:
        left, right = _distinct(left, equal), _distinct(right, equal)
    if len(left) != len(right):
        return False
    rest = list(right)
    for item in left:
        partner = next((index for index, other in enumerate(rest) if equal(item, other)), None)
        if partner is None:
            return False
        del rest[partner]
    return True


def _memo(policy: Policy) -> Callable[[Node, Node], bool]:
    return lambda a, b: a == b or same(a, b, policy).equal


def _distinct(items: Sequence[Node], equal: Callable[[Node, Node], bool]) -> list[Node]:
    kept: list[Node] = []
    for item in items:
        if not any(equal(item, other) for other in kept):
            kept.append(item)
    return kept
