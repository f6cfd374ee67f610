"""The rules of equality in their order. The gold's type leads; a type it cannot be is not equal."""

from __future__ import annotations

from envs.grading.equal.algebra import equal_expressions
from envs.grading.equal.judge import Judge, Outcome, Rule
from envs.grading.equal.lists import as_list, equal_lists, equal_sets_of_numbers
from envs.grading.equal.matrices import matrix
from envs.grading.equal.policy import Policy
from envs.grading.equal.quantities import equal_based, equal_colons, is_time, plain_unit, readings
from envs.grading.equal.relations import comparable_names, equal_relations, is_name, named
from envs.grading.equal.sets import is_set
from envs.grading.equal.signs import has_sign
from envs.grading.read.nodes import (
    Based,
    Braces,
    Colon,
    Group,
    Listing,
    Matrix,
    Node,
    Quantity,
    Relation,
    Words,
    children,
    symbols,
)


def same(gold: Node, answer: Node, policy: Policy) -> Outcome:
    """Compare two trees; raises Undecided, TooCostly, Undefined."""
    return Judge(policy, AS_WRITTEN, OF_VALUES).same(gold, answer)


# -- as written --------------------------------------------------------------------------------------------------------


def words(gold: Node, answer: Node, judge: Judge) -> Outcome | None:
    """Words that mean no mathematics are equal in form alone."""
    return Outcome(False, "words") if isinstance(gold, Words) or isinstance(answer, Words) else None


def lists(gold: Node, answer: Node, judge: Judge) -> Outcome | None:
    """Several answers side by side."""
    if not isinstance(gold, Listing) and not isinstance(answer, Listing):
        return None
    return equal_lists(gold, answer, judge)


def named_values(gold: Node, answer: Node, judge: Judge) -> Outcome | None:
    """`x = 5` against `5`, `x = 5` or an equation that says the same."""
    gold_name, gold_value = named(gold)
    answer_name, answer_value = named(answer)
    if gold_name is None and answer_name is None:
        return None
    if gold_name is not None and answer_name is not None:
        calculated = not is_name(gold_name) or not is_name(answer_name)  # 2 + 3 = 5 against x = 5
        in_words = isinstance(gold_name, Words) or isinstance(answer_name, Words)
        if calculated or in_words or comparable_names(gold_name, answer_name):
            return judge.same(gold_value, answer_value)
    if isinstance(gold, Relation) and isinstance(answer, Relation) and "in" not in gold.ops + answer.ops:
        return judge.same_values(gold, answer)
    if gold_name is not None and answer_name is not None:
        return Outcome(False, "name")
    return judge.same(gold_value, answer_value)


# -- values, their units outside ---------------------------------------------------------------------------------------


def units(gold: Node, answer: Node, judge: Judge) -> Outcome | None:
    """Values with a unit, a currency, a percent or degree sign."""
    if not isinstance(gold, Quantity) and not isinstance(answer, Quantity):
        return None
    outcomes = [
        expressions(a, b, judge) if _is_angle(a) or _is_angle(b) else judge.same(a, b)
        for a, b in readings(gold, answer, judge.policy)
    ]
    return Outcome(any(outcome.equal for outcome in outcomes), "unit")


def _is_angle(node: Node) -> bool:
    return isinstance(node, Quantity) and node.unit == "degree"


def signs(gold: Node, answer: Node, judge: Judge) -> Outcome | None:
    """Values with ±, which are lists."""
    if not has_sign(gold) and not has_sign(answer):
        return None
    return equal_lists(as_list(gold), as_list(answer), judge)


def sets(gold: Node, answer: Node, judge: Judge) -> Outcome | None:
    """Intervals, unions, inequalities."""
    return equal_sets_of_numbers(gold, answer, judge) if is_set(gold) or is_set(answer) else None


def equations(gold: Node, answer: Node, judge: Judge) -> Outcome | None:
    """Two equations that say the same; an equation is no value."""
    relations = [node for node in (gold, answer) if isinstance(node, Relation)]
    if len(relations) == 2:
        return Outcome(equal_relations(*relations), "equation")
    return Outcome(False, "an equation against a value") if relations else None


def bases(gold: Node, answer: Node, judge: Judge) -> Outcome | None:
    """Numbers with a base."""
    if not isinstance(gold, Based) and not isinstance(answer, Based):
        return None
    return Outcome(equal_based(gold, answer, judge.policy), "base")


def ratios(gold: Node, answer: Node, judge: Judge) -> Outcome | None:
    """Times and ratios."""
    colons = [node for node in (gold, answer) if isinstance(node, Colon)]
    if not colons:
        return None
    verdict = equal_colons(gold, answer)
    if verdict is None:
        left, right = colons
        verdict = judge.ordered(left.parts, right.parts)
    return Outcome(verdict, "time" if any(map(is_time, colons)) else "ratio")


def matrices(gold: Node, answer: Node, judge: Judge) -> Outcome | None:
    """Matrices entry by entry; one row or column also as a tuple."""
    left, right = matrix(gold), matrix(answer)
    if left is not None and right is not None:
        if len(left.rows) != len(right.rows) or len(left.rows[0]) != len(right.rows[0]):
            return Outcome(False, "matrix")
        return Outcome(all(judge.ordered(a, b) for a, b in zip(left.rows, right.rows, strict=True)), "matrix")
    if left is not None:
        return Outcome(_equals_tuple(left, answer, judge), "matrix")
    return Outcome(_equals_tuple(right, gold, judge), "matrix") if right is not None else None


def _equals_tuple(vector: Matrix, other: Node, judge: Judge) -> bool:
    rows = vector.rows
    entries = rows[0] if len(rows) == 1 else tuple(row[0] for row in rows) if len(rows[0]) == 1 else ()
    if not judge.policy.column_as_tuple or not entries or not isinstance(other, Group):
        return False
    return judge.ordered(entries, other.items)


def groups(gold: Node, answer: Node, judge: Judge) -> Outcome | None:
    """Tuples and finite sets; a set of one number is that number."""
    if isinstance(gold, Group) and isinstance(answer, Group):
        brackets = (gold.open, gold.close) == (answer.open, answer.close) or len(gold.items) > 2
        return Outcome(brackets and judge.ordered(gold.items, answer.items), "tuple")
    if isinstance(gold, Braces) and isinstance(answer, Braces):
        return Outcome(judge.unordered(gold.items, answer.items, distinct=True), "set")
    if not isinstance(gold, (Group, Braces)) and not isinstance(answer, (Group, Braces)):
        return None
    for item, other in ((gold, answer), (answer, gold)):
        is_single = isinstance(item, Braces) and len(item.items) == 1 and not isinstance(other, Group)
        if is_single and judge.policy.list_as_set:
            return judge.same(children(item)[0], other)
    return Outcome(False, "a tuple or set against a value")


def expressions(gold: Node, answer: Node, judge: Judge) -> Outcome:
    """Numbers and expressions, and a number with unit letters against a plain number."""
    left, right = symbols(gold), symbols(answer)
    if left != right and judge.policy.drop_units and not (left and right):
        split = plain_unit(gold if left else answer)
        if split is not None:
            return judge.same(answer if left else gold, split[0])
    return Outcome(equal_expressions(gold, answer, judge.policy), "expression" if left or right else "number")


AS_WRITTEN: tuple[Rule, ...] = (words, lists, named_values)
OF_VALUES: tuple[Rule, ...] = (units, signs, sets, equations, bases, ratios, matrices, groups, expressions)
