"""The executor on a real cluster of two nodes with one worker each."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ALL_COMPLETED, Executor, as_completed, wait
from pathlib import Path

import pytest

import grid
from grid import SerializationError, WorkerLostError
from grid.client.current import current_node
from grid.client.session import Grid
from grid.client.tasks.executor import GridExecutor
from tests.client.gate import Gate, pass_gate
from tests.processes.nodes import ask_until


@pytest.fixture
def pool(client: Grid) -> GridExecutor:
    return client.executor()


def test_it_is_an_executor_whose_futures_are_the_standard_ones(pool: GridExecutor):
    assert isinstance(pool, Executor)
    with pool:
        futures = [pool.submit(pow, number, 2) for number in range(20)]
        assert wait(futures, timeout=60, return_when=ALL_COMPLETED).not_done == set()
        assert sorted(f.result() for f in as_completed(futures)) == [n * n for n in range(20)]


def test_map_keeps_the_order(pool: GridExecutor):
    with pool:
        assert list(pool.map(pow, range(50), [2] * 50)) == [n * n for n in range(50)]


def test_a_future_can_be_awaited(pool: GridExecutor):
    async def main() -> int:
        return await asyncio.wrap_future(pool.submit(pow, 3, 2))

    with pool:
        assert asyncio.run(main()) == 9


def test_an_exception_comes_back_as_itself_with_where_it_was_raised(pool: GridExecutor):
    def fail() -> None:
        raise KeyError("missing")

    with pool:
        error = pool.submit(fail).exception(timeout=60)
    assert isinstance(error, KeyError)
    assert error.args == ("missing",)
    note = "\n".join(error.__notes__)
    assert "raised on node local-" in note
    assert 'raise KeyError("missing")' in note


def test_an_exception_that_cannot_be_pickled_still_says_what_it_was(pool: GridExecutor):
    class OddError(Exception):
        def __init__(self, one: int, two: int) -> None:
            super().__init__(f"odd {one} {two}")

    def fail() -> None:
        raise OddError(1, 2)

    with pool:
        error = pool.submit(fail).exception(timeout=60)
    assert "odd 1 2" in str(error)


def test_system_exit_of_a_task_is_its_result_not_the_worker_s_end(pool: GridExecutor):
    with pool:
        error = pool.submit(exit, 3).exception(timeout=60)
        assert isinstance(error, SystemExit)
        assert pool.submit(pow, 2, 2).result(timeout=60) == 4


def test_what_cannot_be_pickled_is_refused_at_submit(pool: GridExecutor):
    with pool, pytest.raises(SerializationError):
        pool.submit(print, threading.Lock())


def test_a_task_reaches_the_map_through_its_own_node(client: Grid, pool: GridExecutor):
    client.map("of tasks")["key"] = 42

    def read() -> tuple[int, str]:
        return grid.current().map("of tasks")["key"], current_node()

    with pool:
        value, name = pool.submit(read).result(timeout=60)
    assert value == 42
    assert name in {node.name for node in client.nodes()}


def test_current_is_for_tasks_only():
    with pytest.raises(grid.GridError, match="inside a task"):
        grid.current()


def test_a_task_goes_where_its_key_lives_when_that_node_is_free(client: Grid, pool: GridExecutor):
    names = {node.id: node.name for node in client.nodes()}
    places = client.map("places")
    with pool:
        for number in range(10):
            owner = places.owner_of(number)
            assert owner is not None
            ran_on = pool.submit_to(current_node, key=number).result(timeout=60)
            assert ran_on == names[owner]


def test_a_task_that_always_kills_its_worker_fails_after_three_deaths(
    pool: GridExecutor, tmp_path: Path
):
    deaths = tmp_path / "deaths"

    def die() -> None:
        with deaths.open("a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)

    with pool:
        error = pool.submit(die).exception(timeout=60)
        assert isinstance(error, WorkerLostError)
        assert deaths.read_text() == "xxx"
        assert pool.retried_count == 2
        assert pool.submit(pow, 2, 3).result(timeout=60) == 8


def test_a_task_whose_worker_died_once_runs_again(pool: GridExecutor, tmp_path: Path):
    marker = tmp_path / "died"

    def die_once() -> str:
        if not marker.exists():
            marker.touch()
            os._exit(1)
        return "done"

    with pool:
        assert pool.submit(die_once).result(timeout=60) == "done"
        assert pool.retried_count == 1


def test_a_waiting_task_can_be_cancelled_and_a_running_one_cannot(
    pool: GridExecutor, tmp_path: Path
):
    gate = Gate(tmp_path)
    with pool:
        running = list(pool.submit_to(pass_gate, gate.path, all=True).values())
        ask_until(lambda: all(future.running() for future in running))
        waiting = [pool.submit(time.monotonic) for _ in range(50)]
        assert waiting[-1].cancel()
        assert not running[0].cancel()
        gate.open()
        assert all(isinstance(f.result(timeout=60), float) for f in waiting[:-1])
        assert waiting[-1].cancelled()


def test_shutdown_refuses_more_and_finishes_what_there_is(pool: GridExecutor):
    future = pool.submit(pow, 2, 5)
    pool.shutdown(wait=True)
    assert future.result(timeout=0) == 32
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(pow, 2, 5)


def test_status_tells_which_functions_the_workers_run(
    client: Grid, pool: GridExecutor, tmp_path: Path
):
    def functions() -> set[str]:
        return {worker["function"] for worker in client.status()["workers"]}

    def check(name: str, begin: Callable[[Path], object]) -> None:
        folder = tmp_path / name
        folder.mkdir()
        gate = Gate(folder)
        under_way = begin(gate.path)
        ask_until(lambda: functions() == {"pass_gate"})
        gate.open()
        ask_until(lambda: functions() == {""})
        del under_way  # Not before: what nobody takes from a map is cancelled.

    with pool:
        check("submit", lambda path: pool.submit_to(pass_gate, path, all=True))
        check("map", lambda path: pool.map(pass_gate, [path] * 2))


def test_shutdown_can_cancel_what_has_not_started(pool: GridExecutor, tmp_path: Path):
    gate = Gate(tmp_path)
    running = list(pool.submit_to(pass_gate, gate.path, all=True).values())
    ask_until(lambda: all(future.running() for future in running))
    waiting = [pool.submit(pow, 2, 2) for _ in range(30)]
    pool.shutdown(wait=False, cancel_futures=True)
    gate.open()
    pool.shutdown(wait=True)
    assert wait(waiting, timeout=60).not_done == set()
    assert waiting[-1].cancelled()
    assert [future.result(timeout=0) for future in running] == [None, None]


def test_large_arguments_and_results_arrive(pool: GridExecutor):
    data = bytes(range(256)) * 40_000
    with pool:
        assert pool.submit(bytes.__add__, data, b"end").result(timeout=60) == data + b"end"


def test_a_task_that_closes_its_client_leaves_the_next_task_one(pool: GridExecutor):
    def use_and_close() -> int:
        with grid.current() as client:
            return len(client.nodes())

    with pool:
        assert [pool.submit(use_and_close).result(timeout=60) for _ in range(4)] == [2, 2, 2, 2]
