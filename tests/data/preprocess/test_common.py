"""The common format is read as it was written, and OpenR's flat form says the same of the same steps."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.preprocess.common import STEP_TAG, LabelledSolution, encoded, from_openr, from_row, read
from reason.common.errors import UserError
from reason.common.rows import BadRow

text = st.text(min_size=1).map(str.strip).filter(bool)
share = st.none() | st.floats(0, 1)

slow_is_fine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # on a busy machine


@st.composite
def solutions(draw, labels=(1, 0, -1)):
    steps = draw(st.lists(text, min_size=1, max_size=6))
    n = len(steps)

    def column(element):
        return draw(st.none() | st.lists(element, min_size=n, max_size=n))

    return LabelledSolution(
        draw(text), steps, draw(st.lists(st.sampled_from(labels), min_size=n, max_size=n)), column(share),
        column(st.none() | st.integers(0, 16)), column(st.none() | st.integers(1, 16)), column(st.none() | text),
        draw(st.text()), draw(st.text()),
    )  # fmt: skip


@slow_is_fine
@given(solutions())
def test_a_line_is_read_as_it_was_written(solution):
    line = encoded(solution.to_json())
    assert b"\n" not in line
    assert from_row(json.loads(line)) == solution


@slow_is_fine
@given(solutions(labels=(1, 0)), st.sampled_from([STEP_TAG, "ки", "<|step|>", "\n\n"]))
def test_openrs_form_there_and_back(solution, tag):
    try:
        flat = json.loads(json.dumps(solution.to_openr(tag)))
    except BadRow:
        assert any(tag in step for step in solution.steps)
        return
    assert flat["process"].count(tag) == len(flat["label"])  # what OpenR's trainers count
    back = from_openr(flat, tag)
    assert (back.question, back.steps, back.labels) == (solution.question, solution.steps, solution.labels)


def test_openrs_form_ends_before_a_step_without_a_label():
    def label(labels):
        flat = LabelledSolution("q", ["a", "b", "c"][: len(labels)], labels).to_openr("#")
        return flat and (flat["process"], flat["label"])

    assert label([1, 0, -1]) == ("a # b #", ["+", "-"])
    assert label([1, -1, 1]) == ("a #", ["+"])
    assert label([-1, 1]) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [1]}, "labels: one a step is needed, at least one; there are 1 for 2 steps"),
        ({"labels": [1, 2]}, "labels: 1, 0 and -1 are labels, not [1, 2]"),
        ({"labels": [1, True]}, "labels[1]: a whole number is needed, not true"),
        ({"values": [0.5]}, "values: one a step is needed; there are 1 for 2 steps"),
        ({"steps": "ab"}, 'steps: a list is needed, not "ab"'),
        ({"question": None}, "question: text is needed, not null"),
    ],
)
def test_a_bad_line_of_the_common_format_is_named(tmp_path, change, message):
    path = tmp_path / "data.jsonl"
    row = {"question": "q", "steps": ["a", "b"], "labels": [1, 0]}
    path.write_text(json.dumps(row) + "\n" + json.dumps(row | change) + "\n")
    with pytest.raises(UserError) as raised:
        list(read(path))
    assert str(raised.value) == f"{path}, line 2: {message}"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"process": "a # b #", "label": ["+"]}, "process: 2 step tags '#' for 1 labels"),
        ({"process": "a # b", "label": ["+"]}, "process: 1 step tags '#' for 1 labels, and text follows the last"),
        ({"process": "a #", "label": ["good"]}, 'label[0]: "+" or "-" is needed, not "good"'),
    ],
)
def test_a_bad_row_of_openrs_form_is_named(row, message):
    with pytest.raises(BadRow) as raised:
        from_openr({"question": "q"} | row, "#")
    assert str(raised.value) == message
