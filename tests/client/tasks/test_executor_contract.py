"""What the standard library documents of executors and futures holds for this one."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    FIRST_EXCEPTION,
    CancelledError,
    Executor,
    Future,
    TimeoutError,  # The standard one under its other name.
    as_completed,
    wait,
)
from pathlib import Path

import pytest

from grid import TaskQueueFullError
from grid.client.session import Grid
from grid.client.tasks import task_thread
from grid.client.tasks.budget import Budget
from grid.client.tasks.executor import GridExecutor
from tests.client.gate import Gate, pass_gate
from tests.client.jobs import divide
from tests.processes.nodes import ask_until

DEADLINE_S = 60.0


@pytest.fixture
def pool(client: Grid) -> Iterator[GridExecutor]:
    with client.executor() as executor:
        yield executor


# -- Executor -----------------------------------------------------------------------------


def test_submit_returns_a_future(pool: GridExecutor):
    future = pool.submit(pow, 3, exp=2, mod=5)
    assert isinstance(pool, Executor)
    assert isinstance(future, Future)
    assert future.result(timeout=DEADLINE_S) == 4
    assert future.exception() is None
    assert future.done()
    assert not future.running()
    assert not future.cancelled()


def test_leaving_the_with_block_waits_for_everything(client: Grid):
    with client.executor() as pool:
        futures = [pool.submit(time.sleep, 0.01) for _ in range(20)]
    assert all(future.done() for future in futures)


def test_after_shutdown_nothing_is_accepted(client: Grid):
    pool = client.executor()
    pool.shutdown()
    pool.shutdown()  # Twice is once.
    with pytest.raises(RuntimeError):
        pool.submit(pow, 2, 2)
    with pytest.raises(RuntimeError):
        pool.map(pow, [2], [2])


def test_shutdown_without_wait_returns_at_once_and_lets_tasks_finish(client: Grid, gate: Gate):
    pool = client.executor()
    future = pool.submit(pass_gate, gate.path)
    pool.shutdown(wait=False)
    assert not future.done()
    gate.open()
    assert future.result(timeout=DEADLINE_S) is None


def test_shutdown_that_cancels_leaves_no_future_open(client: Grid, gate: Gate):
    pool = client.executor()
    running = list(pool.submit_to(pass_gate, gate.path, all=True).values())
    ask_until(lambda: all(future.running() for future in running))
    waiting = [pool.submit(pow, 2, 2) for _ in range(30)]
    pool.shutdown(wait=False, cancel_futures=True)
    assert wait(waiting, timeout=DEADLINE_S).not_done == set()
    assert all(future.cancelled() for future in waiting)
    gate.open()
    pool.shutdown(wait=True)
    assert [future.result() for future in running] == [None, None]


# -- map ----------------------------------------------------------------------------------


@pytest.mark.parametrize("chunksize", [1, 3, 7, 100])
def test_map_is_the_builtin_map(pool: GridExecutor, chunksize: int):
    numbers = range(20)
    expected = list(map(pow, numbers, itertools.repeat(2)))
    assert list(pool.map(pow, numbers, itertools.repeat(2), chunksize=chunksize)) == expected
    assert list(pool.map(pow, [], [])) == []
    assert list(pool.map(pow, range(5), range(3))) == [1, 1, 4]


def test_map_takes_lambdas_and_what_they_hold(pool: GridExecutor):
    offset = 5
    assert list(pool.map(lambda n: n + offset, range(6), chunksize=2)) == [5, 6, 7, 8, 9, 10]


def test_map_raises_when_the_result_is_taken(pool: GridExecutor):
    results = pool.map(divide, [1, 2, 0, 4])
    assert next(results) == 1.0
    assert next(results) == 0.5
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_map_begins_before_the_first_result_is_taken(pool: GridExecutor, tmp_path: Path):
    marks = [tmp_path / str(number) for number in range(4)]
    pool.map(Path.touch, marks)
    ask_until(lambda: all(mark.exists() for mark in marks))


def test_map_reads_endless_iterables_only_so_far_ahead(pool: GridExecutor):
    taken = itertools.count()
    results = pool.map(abs, (next(taken) for _ in itertools.count()), buffersize=10)
    assert [next(results) for _ in range(50)] == list(range(50))
    assert next(taken) <= 61
    results.close()  # type: ignore[attr-defined]


def test_map_out_of_time_says_so(pool: GridExecutor, gate: Gate):
    results = pool.map(pass_gate, [gate.path], timeout=0.01)
    with pytest.raises(TimeoutError):
        next(results)
    gate.open()


@pytest.mark.parametrize("chunksize", [0, -1, 1.5])
def test_map_refuses_chunks_that_cannot_be(pool: GridExecutor, chunksize: int):
    with pytest.raises(ValueError, match="chunksize must be >= 1"):
        pool.map(abs, [1], chunksize=chunksize)
    with pytest.raises(ValueError, match="buffersize must be None or >= 1"):
        pool.map(abs, [1], buffersize=chunksize)


# -- Future -------------------------------------------------------------------------------


def test_result_and_exception_in_vain_time_out(pool: GridExecutor, gate: Gate):
    future = pool.submit(pass_gate, gate.path)
    with pytest.raises(TimeoutError):
        future.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0.01)
    gate.open()


def test_cancelled_future_raises_and_calls_back(pool: GridExecutor, gate: Gate):
    running = list(pool.submit_to(pass_gate, gate.path, all=True).values())
    ask_until(lambda: all(future.running() for future in running))
    waiting = pool.submit(pow, 2, 2)
    called = threading.Event()
    waiting.add_done_callback(lambda _: called.set())
    assert waiting.cancel()
    assert waiting.cancel()
    assert waiting.cancelled()
    assert waiting.done()
    assert called.wait(DEADLINE_S)
    with pytest.raises(CancelledError):
        waiting.result(timeout=DEADLINE_S)
    gate.open()


def test_what_runs_or_is_over_is_not_cancelled(pool: GridExecutor, gate: Gate):
    running = pool.submit(pass_gate, gate.path)
    ask_until(running.running)
    assert not running.cancel()
    gate.open()
    assert running.result(timeout=DEADLINE_S) is None
    assert not running.cancel()
    assert not running.cancelled()


def test_callbacks_come_in_order_with_the_future_and_may_fail(pool: GridExecutor, gate: Gate):
    future = pool.submit(pass_gate, gate.path)
    seen: list[object] = []
    future.add_done_callback(lambda done: seen.append(done))
    future.add_done_callback(lambda _: 1 / 0)
    future.add_done_callback(lambda _: seen.append("last"))
    gate.open()
    future.result(timeout=DEADLINE_S)
    ask_until(lambda: len(seen) == 2)
    assert seen == [future, "last"]
    future.add_done_callback(lambda _: seen.append("late"))
    assert seen[-1] == "late"


def test_callback_may_submit(pool: GridExecutor):
    second: list[Future[int]] = []
    first = pool.submit(pow, 2, 2)
    first.add_done_callback(lambda _: second.append(pool.submit(pow, 2, 3)))
    ask_until(lambda: bool(second))
    assert second[0].result(timeout=DEADLINE_S) == 8


def test_wait_for_the_first_completed_and_the_first_exception(pool: GridExecutor, gate: Gate):
    blocked: Future[object] = pool.submit(pass_gate, gate.path)
    quick: Future[object] = pool.submit(abs, -1)
    done, not_done = wait([quick, blocked], DEADLINE_S, FIRST_COMPLETED)
    assert not_done == {blocked}
    failed: Future[object] = pool.submit(divide, 0)
    done, not_done = wait([failed, blocked], DEADLINE_S, FIRST_EXCEPTION)
    assert done == {failed}
    gate.open()


def test_as_completed_yields_what_is_done_first(pool: GridExecutor, gate: Gate):
    blocked: Future[object] = pool.submit(pass_gate, gate.path)
    quick: Future[object] = pool.submit(abs, -1)
    order = as_completed([blocked, quick], timeout=DEADLINE_S)
    assert next(order) is quick
    gate.open()
    assert next(order) is blocked


def test_event_loops_run_and_cancel_in_it(pool: GridExecutor, gate: Gate):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(pool, pow, 2, 10) == 1024
        running = list(pool.submit_to(pass_gate, gate.path, all=True).values())
        ask_until(lambda: all(future.running() for future in running))
        waiting = pool.submit(pow, 2, 2)
        wrapped = asyncio.wrap_future(waiting)
        wrapped.cancel()
        await asyncio.sleep(0)  # Until then only the loop's own future knows.
        with pytest.raises(asyncio.CancelledError):
            await wrapped
        assert waiting.cancelled()
        gate.open()
        await asyncio.gather(*map(asyncio.wrap_future, running))

    asyncio.run(main())


# -- backpressure -------------------------------------------------------------------------


def test_full_executor_waits_or_says_so(client: Grid, gate: Gate, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(task_thread, "Budget", lambda: Budget(4))
    with client.executor(when_full="raise") as strict, client.executor() as patient:
        futures = [strict.submit(pass_gate, gate.path) for _ in range(4)]
        with pytest.raises(TaskQueueFullError, match="4 tasks are unfinished"):
            strict.submit(abs, 1)
        futures += [patient.submit(pass_gate, gate.path) for _ in range(4)]
        results: list[int] = []
        late = threading.Thread(
            target=lambda: results.append(patient.submit(abs, -1).result(DEADLINE_S))
        )
        late.start()
        assert results == []
        gate.open()
        late.join(DEADLINE_S)
        assert results == [1]
        assert [future.result(DEADLINE_S) for future in futures] == [None] * 8


def test_executor_that_is_full_in_an_unknown_way_is_refused(client: Grid):
    with pytest.raises(ValueError, match='must be "wait" or "raise"'):
        client.executor(when_full="block")  # type: ignore[arg-type]


def test_workers_are_counted_where_other_libraries_look(pool: GridExecutor):
    assert pool._max_workers == 2


def test_client_forgets_executors_that_are_over(client: Grid):
    for _ in range(3):
        with client.executor() as pool:
            assert not pool.is_over
            pool.submit(abs, -1).result(timeout=DEADLINE_S)
        assert pool.is_over
    client.executor().shutdown()
    assert len(client._executors) == 1
