"""The parser and the printer are inverse; reductions keep the value; bounds hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.arithmetic.expression import (
    ExpressionError,
    Op,
    apply,
    canonical,
    evaluate,
    operations,
    parse,
    reductions,
    replace,
    to_text,
)

EXPRESSIONS = st.recursive(
    st.integers(-999, 999),
    lambda inner: st.builds(Op, st.sampled_from("+-*"), inner, inner),
    max_leaves=20,
)


@given(EXPRESSIONS)
def test_printing_and_parsing_are_inverse(expr):
    assert parse(to_text(expr)) == expr


@given(EXPRESSIONS)
def test_each_reduction_keeps_the_value_and_removes_one_operation(expr):
    for path, node in reductions(expr):
        reduced = replace(expr, path, apply(node.op, node.left, node.right))
        assert evaluate(reduced) == evaluate(expr)
        assert operations(reduced) == operations(expr) - 1


@given(EXPRESSIONS, EXPRESSIONS)
def test_canonical_form_joins_commuted_forms_only(a, b):
    assert canonical(Op("+", a, b)) == canonical(Op("+", b, a))
    assert canonical(Op("*", a, b)) == canonical(Op("*", b, a))
    if canonical(a) != canonical(b):
        assert canonical(Op("-", a, b)) != canonical(Op("-", b, a))


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text):
    try:
        parse(text)
    except ExpressionError:
        pass


@pytest.mark.parametrize(
    "text", ["", "1 +", "(1", "1)", "01", "1 2", "2 / 3", "a", "__import__('os')", "1" * 13, "(" * 70 + "1", "9 " * 600]
)
def test_malformed_or_unbounded_text_is_refused(text):
    with pytest.raises(ExpressionError):
        parse(text)
