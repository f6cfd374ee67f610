"""Many requests, one queue: everyone gets their own scores, nobody waits for ever."""

import asyncio
import threading

import pytest

from prm.scoring.batcher import Batcher
from prm.scoring.scorer import Scored, ScoreError
from reason.engine.plan import nearest
from tests.prm.tiny import some_inputs


class Slow:
    """A scorer whose passes are watched, and held back by `gate`; scores are positions, so mix-ups show."""

    token_budget = 400

    def __init__(self, scorer):
        self.layouter = scorer.layouter
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Event()
        self.passes = []

    def pick(self, layouts):
        return nearest([len(layout.tokens) for layout in layouts], self.token_budget)

    def compute(self, layouts):
        self.passes.append([len(layout.tokens) for layout in layouts])
        self.started.set()
        assert self.gate.wait(10)
        if any(layout.tokens == (1,) for layout in layouts):
            raise RuntimeError("the device is gone")
        return [Scored(expected(layout), len(layout.tokens)) for layout in layouts]


@pytest.fixture
def slow(scorer):
    return Slow(scorer)


@pytest.fixture
def layouts(scorer):
    return [scorer.layouter.lay_out(*one) for one in some_inputs(30)]


def expected(layout):
    return [float(p) for p in layout.positions]


async def test_requests_in_flight_share_batches_and_get_their_own_scores(scorer, layouts):
    batcher = Batcher(scorer)
    results = await asyncio.gather(*(batcher.run([layout]) for layout in layouts))
    alone = scorer.run(layouts).all_scores()
    for result, scores in zip(results, alone, strict=True):
        assert result.all_scores() == [pytest.approx(scores, abs=1e-5)]
    batcher.close()


async def test_batches_form_while_the_scorer_is_busy_and_keep_the_budget(slow, layouts):
    batcher = Batcher(slow)
    slow.gate.clear()
    first = asyncio.create_task(batcher.run(layouts[:1]))
    await asyncio.to_thread(slow.started.wait, 10)
    rest = [asyncio.create_task(batcher.run([layout])) for layout in layouts[1:]]
    await asyncio.sleep(0)
    slow.gate.set()
    results = await asyncio.gather(first, *rest)
    assert [r.scores[0] for r in results] == [expected(layout) for layout in layouts]
    assert len(slow.passes[0]) == 1  # an idle scorer starts at once
    assert len(slow.passes) < len(layouts) / 2
    assert all(len(p) == 1 or max(p) * len(p) <= slow.token_budget for p in slow.passes)
    batcher.close()


async def test_prefixes_within_a_request_are_computed_once(slow, scorer):
    question, steps = "1 + 2 + 3", ["1 + 2 = 3; 3 + 3", "3 + 3 = 6"]
    layouts = [scorer.layouter.lay_out(question, steps[:k]) for k in (0, 1, 2, 2)]
    batcher = Batcher(slow)
    result = await batcher.run(layouts)
    assert result.scores == [expected(layout) for layout in layouts]
    assert result.computed == len(layouts[2].tokens)
    assert sum(map(len, slow.passes)) == 1
    assert (await batcher.run([])).scores == []
    assert (await batcher.run(layouts[:1])).scores == [[]]
    batcher.close()


async def test_a_cancelled_request_leaves_the_queue(slow, layouts):
    batcher = Batcher(slow)
    slow.gate.clear()
    first = asyncio.create_task(batcher.run(layouts[:1]))
    await asyncio.to_thread(slow.started.wait, 10)
    gone = asyncio.create_task(batcher.run(layouts[1:5]))
    stays = asyncio.create_task(batcher.run(layouts[5:6]))
    await asyncio.sleep(0)
    gone.cancel()
    slow.gate.set()
    assert (await first).scores[0] == expected(layouts[0])
    assert (await stays).scores[0] == expected(layouts[5])
    assert slow.passes == [[len(layouts[0].tokens)], [len(layouts[5].tokens)]]
    batcher.close()


async def test_a_failing_pass_fails_its_requests_and_no_others(slow, scorer, layouts):
    from prm.scoring.layout import Layout

    batcher = Batcher(slow)
    with pytest.raises(RuntimeError, match="the device is gone"):
        await batcher.run([Layout((1,), (0,))])
    assert (await batcher.run(layouts[:2])).scores == [expected(layout) for layout in layouts[:2]]
    batcher.close()


async def test_waiting_for_more_is_bounded(slow, layouts):
    batcher = Batcher(slow, wait=0.01)
    for layout in layouts[:3]:
        assert (await asyncio.wait_for(batcher.run([layout]), 5)).scores[0] == expected(layout)
    batcher.close()


async def test_an_input_without_a_score_is_its_own_error(slow, layouts):
    slow.compute = lambda some: [
        Scored(ScoreError("too big") if layout == layouts[0] else expected(layout), 1) for layout in some
    ]
    result = await Batcher(slow).run(layouts[:2])
    assert isinstance(result.scores[0], ScoreError)
    assert result.scores[1] == expected(layouts[1])


async def test_a_failure_to_choose_a_batch_reaches_its_requests(slow, layouts):
    slow.pick = lambda some: 1 / 0
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(Batcher(slow).run(layouts[:2]), 5)
