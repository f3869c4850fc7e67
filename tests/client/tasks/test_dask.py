"""dask's graphs on the executor: dask takes any `concurrent.futures.Executor` as a scheduler."""

from __future__ import annotations

import os
from collections.abc import Iterator
from operator import add
from pathlib import Path

import pytest
from dask.base import compute
from dask.delayed import delayed

from grid.client.session import Grid
from grid.client.tasks.executor import GridExecutor
from tests.client.meeting import meet

WORKERS = 2


@pytest.fixture
def pool(client: Grid) -> Iterator[GridExecutor]:
    with client.executor() as executor:  # It says by `_max_workers` how many tasks may run.
        yield executor


def test_a_graph_is_computed_on_the_cluster(pool: GridExecutor):
    squares = [delayed(pow)(n, 2) for n in range(20)]
    while len(squares) > 1:  # A tree of sums.
        squares = [delayed(sum)(squares[n : n + 2]) for n in range(0, len(squares), 2)]
    where = delayed(os.getpid)()
    total, pid = compute(squares[0], where, scheduler=pool)
    assert total == sum(n * n for n in range(20))
    assert pid != os.getpid()


def test_tasks_that_do_not_need_each_other_run_at_the_same_time(pool: GridExecutor, tmp_path: Path):
    calls = [delayed(meet)(tmp_path, name, WORKERS) for name in "ab"]
    assert len(set(compute(*calls, scheduler=pool))) == WORKERS


def test_a_result_that_two_tasks_need_is_computed_once(pool: GridExecutor, tmp_path: Path):
    def note() -> int:
        with (tmp_path / "calls").open("a") as file:
            file.write("x")
        return 1

    one = delayed(note)()
    assert delayed(add)(delayed(add)(one, one), one).compute(scheduler=pool) == 3
    assert (tmp_path / "calls").read_text() == "x"


def test_an_exception_comes_back_as_itself_and_the_executor_goes_on(pool: GridExecutor):
    def fail() -> None:
        raise KeyError("missing")

    with pytest.raises(KeyError, match="missing"):
        compute(delayed(fail)(), scheduler=pool)
    assert delayed(pow)(2, 3).compute(scheduler=pool) == 8
