"""The way of a future from pending to done, cancelled or killed."""

from __future__ import annotations

from concurrent.futures import CancelledError

import pytest

from grid.client.tasks.futures import TaskFuture


class Canceller:
    """Notes what it is asked for, and does what the test wants."""

    def __init__(self) -> None:
        self.asked: list[bool] = []
        self.waited: list[bool] = []

    def __call__(self, future: TaskFuture[int], is_forced: bool, waits: bool) -> None:
        self.asked.append(is_forced)
        self.waited.append(waits)
        if is_forced:
            future.become_killed()


def pending() -> tuple[TaskFuture[int], Canceller]:
    canceller = Canceller()
    return TaskFuture(canceller, 0), canceller


def test_short_task_goes_from_pending_to_done() -> None:
    future, _ = pending()
    assert not future.running()
    future.become_done(3)
    assert future.result(timeout=0) == 3


def test_long_task_is_seen_to_run_and_where() -> None:
    future, _ = pending()
    future.become_running("pc3")
    future.become_running("pc4")  # Its worker on pc3 died.
    assert (future.running(), future.node) == (True, "pc4")
    future.become_failed(KeyError("k"))
    assert isinstance(future.exception(timeout=0), KeyError)


def test_cancelling_is_asking() -> None:
    future, canceller = pending()
    assert not future.cancel()
    assert canceller.asked == [False]
    future.become_cancelled()
    assert future.cancel()
    assert future.cancelled()
    assert canceller.asked == [False]  # What is over is over.


def test_killed_task_counts_as_cancelled() -> None:
    future, _ = pending()
    future.become_running("pc3")
    assert future.cancel(force=True)
    assert future.cancelled()
    assert not future.running()
    with pytest.raises(CancelledError):
        future.result(timeout=0)


def test_task_that_ran_once_and_is_dropped_before_it_runs_again_counts_as_cancelled() -> None:
    future, _ = pending()
    future.become_running("pc3")
    future.become_cancelled()
    assert future.cancelled()
    assert isinstance(future.exception(timeout=0), CancelledError)


def test_who_drops_a_task_does_not_wait() -> None:
    future, canceller = pending()
    future.drop()
    assert (canceller.asked, canceller.waited) == ([False], [False])
    future.become_cancelled()
    future.drop()
    assert canceller.waited == [False]
