"""Updates: every example once an epoch, the same ones however the work is cut up."""

from array import array

import pytest

from train.core.plan import MULTIPLE, Example, Plan, padded


def examples(count=37):
    return [Example(array("i", range(1, 20 + 7 * i % 90)), (i % 19,), (i % 2 / 1.0,), (1.0 + i,)) for i in range(count)]


def plan(world=1, batch_tokens=300, size=10, **options):
    return Plan(examples(), size, batch_tokens, seed=3, world=world, **options)


def test_an_epoch_has_every_example_once_and_the_next_another_order():
    one = plan()
    assert one.per_epoch == 4
    epochs = [[i for n in range(4) for i in one.chosen(4 * epoch + n)] for epoch in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(37))
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("world", [1, 2, 3, 12])
@pytest.mark.parametrize("batch_tokens", [16, 300, 10**6])
def test_the_passes_of_all_processes_are_the_update(world, batch_tokens):
    one = plan(world, batch_tokens)
    for number in range(5):
        updates = [one.update(number, rank) for rank in range(world)]
        assert len({len(update.passes) for update in updates}) == 1
        weights = sorted(w for update in updates for p in update.passes for w in p.weights.tolist())
        assert weights == sorted(w for i in one.chosen(number) for w in one.examples[i].weights)
        assert {update.weight for update in updates} == {sum(weights)}


def test_passes_keep_to_the_budget_and_pad_to_their_longest():
    for number in range(4):
        for one in plan(batch_tokens=300, max_rows=4).update(number).passes:
            rows, length = one.input_ids.shape
            assert rows == 1 or rows * length <= 300
            assert rows <= 4 and length % MULTIPLE == 0
            assert length == padded(int((one.input_ids != 0).sum(1).max()))
            assert one.tokens == (one.input_ids != 0).sum()


def test_a_pass_says_where_its_steps_stand():
    one = plan()
    (update,) = [one.update(0)]
    for p in update.passes:
        assert (p.input_ids[p.rows, p.positions] == p.positions + 1).all()  # the tokens of `examples` count from 1
