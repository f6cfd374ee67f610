"""Stop texts and continuations, whichever engine answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from reason.engine.request import cut_at_stop, decode_continuation

STOPS = st.lists(st.text("ab\n", min_size=1, max_size=3), min_size=1, max_size=3)


@given(text=st.text("ab\n", max_size=12), stop=STOPS)
def test_a_stop_text_cuts_as_if_the_text_came_one_character_at_a_time(text: str, stop: list[str]) -> None:
    expected = None
    for end in range(len(text) + 1):
        ending = [s for s in stop if text[:end].endswith(s)]
        if ending:
            expected = end, end - max(map(len, ending))
            break
    assert cut_at_stop(text, stop, True) == (None if expected is None else text[: expected[0]])
    assert cut_at_stop(text, stop, False) == (None if expected is None else text[: expected[1]])


def test_a_continuation_keeps_its_leading_space(tokenizer) -> None:
    prompt, whole = tokenizer.encode("1"), tokenizer.encode("1 + 2 = 3")
    assert decode_continuation(tokenizer, prompt, whole[len(prompt) :]) == " + 2 = 3"
