"""How far `map` reads ahead, and what becomes of what it has begun."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from grid.client.code.calls import run_chunk
from grid.client.code.roots import Pickled
from grid.client.tasks.futures import TaskFuture
from grid.client.tasks.mapping import CHUNKS_AHEAD_MAX, mapped


class Pool:
    """Carries out a chunk when the test says so, or at once."""

    def __init__(self, *, is_prompt: bool = True) -> None:
        self.is_prompt = is_prompt
        self.futures: list[TaskFuture[list[Any]]] = []
        self.sizes: list[int] = []
        self.names: set[str] = set()

    def submit(self, function: Pickled, chunk: list[tuple[Any, ...]]) -> TaskFuture[list[Any]]:
        future: TaskFuture[list[Any]] = TaskFuture(
            lambda future, is_forced, waits: future.become_cancelled(), 0
        )
        self.futures.append(future)
        self.sizes.append(len(chunk))
        self.names.add(function.name)
        if self.is_prompt:
            future.set_result(run_chunk(function, chunk))
        return future

    def map(
        self, *iterables: Any, chunk: int = 1, ahead: int | None = None, timeout_s: Any = None
    ) -> Iterator[Any]:
        return mapped(self.submit, max, iterables, timeout_s, chunk, ahead)


def test_results_come_in_order_and_the_shortest_ends_it() -> None:
    assert list(Pool().map([1, 5, 3], itertools.repeat(2), chunk=2)) == [2, 5, 3]


def test_elements_travel_in_chunks() -> None:
    pool = Pool()
    assert list(pool.map(range(10), range(10), chunk=4)) == list(range(10))
    assert pool.sizes == [4, 4, 2]
    assert pool.names == {"max"}


@pytest.mark.parametrize(("chunk", "ahead", "chunks"), [(1, 5, 5), (2, 6, 3), (10, 4, 1)])
def test_no_more_is_read_than_the_buffer_holds(chunk: int, ahead: int, chunks: int) -> None:
    pool = Pool(is_prompt=False)
    numbers = itertools.count()
    pool.map(numbers, itertools.repeat(0), chunk=chunk, ahead=ahead)
    assert len(pool.futures) == chunks
    assert next(numbers) <= ahead


def test_without_a_buffer_size_there_is_a_bound_too() -> None:
    pool = Pool()
    results = pool.map(itertools.count(), itertools.repeat(0))
    assert len(pool.futures) == CHUNKS_AHEAD_MAX
    assert next(results) == 0
    assert len(pool.futures) == CHUNKS_AHEAD_MAX + 1


def test_what_is_not_wanted_any_more_is_cancelled() -> None:
    pool = Pool(is_prompt=False)
    results = pool.map(range(4), range(4))
    pool.futures[0].set_result([0])
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert [future.cancelled() for future in pool.futures] == [False, True, True, True]


def test_time_runs_from_the_call_on() -> None:
    pool = Pool(is_prompt=False)
    results = pool.map(range(2), range(2), timeout_s=0.0)
    with pytest.raises(TimeoutError):
        next(results)
    assert all(future.cancelled() for future in pool.futures[1:])
