"""The pool kills what hangs, delays nobody, and leaves no process behind."""

import asyncio
import os
import threading
import time
from pathlib import Path

import pytest

from envs.grading.pool.pool import GradingPool, PoolError

HANG = {"gold": "1", "answer": "2", "sleep": 60}
WORKER = (str(Path(__file__).with_name("faulty_worker.py")),)


@pytest.fixture(scope="module")
def pool():
    with_short_limit = GradingPool(processes=2, limit=1.0, worker=WORKER)
    with_short_limit.warm_up()
    yield with_short_limit
    with_short_limit.close()


def ask(pool, answer, gold="1/2"):
    return pool.submit({"gold": gold, "answer": answer}).result(timeout=30)


def test_a_hanging_job_is_killed_at_the_limit_and_delays_nobody(pool):
    killed, start = pool.killed, time.monotonic()
    ended = {}
    hanging = [pool.submit(HANG) for _ in range(2)]
    others = [pool.submit({"gold": "1/2", "answer": f"0.6{i}"}) for i in range(20)]
    for future in hanging + others:
        future.add_done_callback(lambda done: ended.setdefault(done, time.monotonic()))
    assert all(future.result(timeout=30)["equal"] is False for future in others)
    for future in hanging:
        reply = future.result(timeout=30)
        assert reply["equal"] is None and "timed out" in reply["reason"]
    assert max(ended[future] for future in others) < min(ended[future] for future in hanging)
    assert time.monotonic() - start < 8
    assert pool.killed == killed + 2
    assert ask(pool, "0.5")["equal"] is True


def test_threads(pool):
    replies = {}

    def work(i):
        replies[i] = [ask(pool, "0.5")["equal"], ask(pool, f"0.{i + 6}")["equal"]]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert replies == {i: [True, False] for i in range(16)}


def test_event_loops(pool):
    async def work():
        return await asyncio.gather(*(pool.run({"gold": "7", "answer": str(i)}) for i in range(20)))

    for _ in range(2):
        assert [reply["equal"] for reply in asyncio.run(work())] == [i == 7 for i in range(20)]


def test_a_cancelled_request_does_no_harm(pool):
    async def work():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(pool.run(HANG), 0.1)
        return await pool.run({"gold": "7", "answer": "7.0"})

    assert asyncio.run(work())["equal"] is True


def test_memory_is_bounded(pool):
    reply = pool.submit({"gold": "1", "answer": "2", "allocate": 8 << 30}).result(timeout=30)
    assert reply["equal"] is None and "memory" in reply["reason"]
    assert ask(pool, "0.5")["equal"] is True


def test_a_dead_process_is_replaced(pool):
    reply = pool.submit({"gold": "1", "answer": "2", "exit": True}).result(timeout=30)
    assert reply["equal"] is None and "ended" in reply["reason"]
    assert ask(pool, "0.5")["equal"] is True


def test_closing_leaves_no_process_and_refuses_more():
    pool = GradingPool(worker=WORKER)
    pool.warm_up()
    pids = pool.pids()
    pool.submit(HANG)
    pool.close()
    pool.close()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    with pytest.raises(PoolError, match="closed"):
        pool.submit(HANG)


def test_processes_that_do_not_start_are_an_error_and_not_a_hang():
    pool = GradingPool(worker=("-c", "raise SystemExit(1)"))
    with pytest.raises(PoolError, match="no grading process starts"):
        pool.warm_up()
    pool.close()
