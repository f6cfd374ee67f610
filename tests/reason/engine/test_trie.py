"""Which prefixes are kept: those of the sequences that were used last, each token once."""

from hypothesis import given
from hypothesis import strategies as st

from reason.engine.trie import Trie

SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple), max_size=30)


def tokens_in(trie):
    return sum(len(node.tokens) for node in trie.nodes())


def check(trie):
    """Each slot is free or in one node; edges part at their first tokens; starts are positions."""
    held = [slot for node in trie.nodes() for slot in node.slots]
    assert sorted([*held, *trie.stack[: trie.free]]) == list(range(trie.capacity))
    for node in trie.nodes():
        assert node.tokens
        assert len(node.tokens) == len(node.slots)
        assert node.parent.children[node.tokens[0]] is node
        assert node.start == (node.parent.start + len(node.parent.tokens))


@given(SEQUENCES)
def test_equal_prefixes_are_stored_once(sequences):
    trie = Trie(1000)
    slots = {}
    for tokens in sequences:
        trie.tick()
        path = trie.insert(tokens).path()
        assert len(path) == len(tokens)
        for end, slot in enumerate(path, 1):
            assert slots.setdefault(tokens[:end], slot) == slot
        check(trie)
    assert tokens_in(trie) == len(slots) == len(set(slots.values()))
    assert all(trie.match(tokens) == len(tokens) for tokens in sequences)


@given(SEQUENCES, st.integers(0, 12))
def test_room_is_made_and_never_overrun(sequences, capacity):
    trie = Trie(capacity)
    for tokens in sequences:
        trie.tick()
        trie.match(tokens, touch=True)
        trie.reserve(len(tokens))
        end = trie.insert(tokens)
        assert end is not None or len(tokens) > capacity or trie.match(tokens)  # an edge in use may hold more than that
        check(trie)


def test_what_was_used_longest_ago_goes_first_leaves_before_their_parents():
    trie = Trie(6)
    for tokens in [(1, 2, 3), (1, 2, 4), (5,)]:
        trie.tick()
        trie.insert(tokens)
    trie.tick()
    trie.match((1, 2, 3), touch=True)
    trie.tick()
    trie.reserve(3)
    assert [trie.match(tokens) for tokens in [(1, 2, 3), (1, 2, 4), (5,)]] == [3, 2, 0]
    trie.tick()
    trie.reserve(5)
    assert trie.match((1, 2, 3)) == 0


def test_what_this_pass_uses_stays():
    trie = Trie(4)
    trie.tick()
    trie.insert((1, 2))
    trie.tick()
    trie.match((1, 2), touch=True)
    trie.insert((3, 4))
    trie.reserve(4)
    assert (trie.match((1, 2)), trie.match((3, 4)), trie.free) == (2, 2, 0)
    assert trie.insert((1, 2, 5)) is None


def test_only_new_nodes_are_fresh():
    trie = Trie(10)
    trie.tick()
    old = trie.insert((1, 2, 3))
    trie.tick()
    new = trie.insert((1, 2, 4))
    assert trie.fresh(new)
    assert not trie.fresh(new.parent)
    assert not trie.fresh(old)
    trie.drop(new)
    assert trie.match((1, 2, 4)) == 2
    check(trie)
