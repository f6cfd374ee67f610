"""What is computed together and what is computed once."""

from hypothesis import given
from hypothesis import strategies as st

from reason.engine.plan import batches, nearest, owners

SEQUENCES = st.lists(st.lists(st.integers(0, 2), max_size=5).map(tuple), max_size=20)


def test_prefixes_and_equals_share_the_longest():
    assert owners([(1,), (1, 2), (1, 2, 3)]) == [2, 2, 2]
    assert len(set(owners([(5, 6), (5, 6)]))) == 1


@given(SEQUENCES)
def test_an_owner_starts_with_what_it_owns_and_owns_itself(sequences):
    owner = owners(sequences)
    for i, own in enumerate(owner):
        assert sequences[own][: len(sequences[i])] == sequences[i]
        assert owner[own] == own
    owned = {sequences[own] for own in owner}
    assert not any(a != b and b[: len(a)] == a for a in owned for b in owned)
    assert len(owned) == len(set(owner))


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 100))
def test_batches_hold_everything_once_within_the_budget(lengths, budget):
    groups = batches(lengths, budget)
    assert sorted(i for group in groups for i in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or max(lengths[i] for i in group) * len(group) <= budget


def test_batches_are_of_like_length():
    assert batches([5, 100, 6, 99], 200) == [[1, 3], [2, 0]]


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(1, 100))
def test_nearest_takes_the_first_and_keeps_the_budget(lengths, budget):
    chosen = nearest(lengths, budget)
    assert chosen[:1] == [0][: len(lengths)]
    assert len(set(chosen)) == len(chosen)
    assert len(chosen) <= 1 or len(chosen) * max(lengths[i] for i in chosen) <= budget
    far = max((abs(lengths[i] - lengths[0]) for i in chosen), default=0)
    assert all(abs(lengths[i] - lengths[0]) >= far for i in set(range(len(lengths))) - set(chosen))
