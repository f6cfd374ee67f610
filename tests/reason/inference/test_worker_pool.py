"""Which worker takes a request: the least busy one, or the one that knows a question's prefixes."""

import collections

import pytest

from reason.inference.fastchat import Services, WorkerPool, _Worker


@pytest.fixture
def pool():
    pool = WorkerPool(Services("http://nowhere"), "prm")
    pool.workers = [_Worker(f"http://127.0.0.1:300{i}") for i in range(10, 13)]
    return pool


def test_without_a_home_the_least_busy_worker_takes_it(pool):
    for worker, busy in zip(pool.workers, (3, 1, 2)):
        worker.in_flight = busy
    assert pool._choose("") is pool.workers[1]


def test_a_home_keeps_its_worker_and_homes_are_spread(pool):
    counts = collections.Counter(pool._choose(f"question {i}").address for i in range(300))
    assert len(counts) == 3
    assert min(counts.values()) > 60
    home = pool._choose("17 + 4")
    for busy in range(5):  # about equal
        home.in_flight = busy
        assert pool._choose("17 + 4") is home


def test_a_home_that_is_much_busier_or_fails_is_passed_over(pool):
    home = pool._choose("17 + 4")
    home.in_flight = 5
    assert pool._choose("17 + 4") is not home
    for worker in pool.workers:
        worker.in_flight = 100
    home.in_flight = 150
    assert pool._choose("17 + 4") is home
    home.failures = 1
    assert pool._choose("17 + 4") is not home
