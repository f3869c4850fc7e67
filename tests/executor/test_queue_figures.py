"""What a node's queue tells of its workers and tasks, for people to look at."""

from __future__ import annotations

from grid.executor.messages import Outcome, RunTask, WorkerResult, WorkerWaiting
from grid.executor.options import ExecutorOptions
from grid.executor.queue import NodeQueue, WorkerState

from .test_queue import Clock, run


def test_workers_are_idle_or_have_run_for_a_while() -> None:
    clock = Clock()
    queue = NodeQueue(ExecutorOptions(), clock, 2)
    queue.worker_ready(7)
    queue.worker_ready(8)
    run(queue, 1)
    clock.now_s = 2.5
    queue.worker_waiting(7, WorkerWaiting(1, True))
    assert queue.workers() == [WorkerState(7, 2.5, True), WorkerState(8, None, False)]


def test_worker_is_shown_with_what_the_submitter_calls_its_task() -> None:
    queue = NodeQueue(ExecutorOptions(), Clock(), 1)
    queue.worker_ready(7)
    queue.submit("s", RunTask(1, 1, function="crunch"))
    assert queue.workers() == [WorkerState(7, 0.0, False, "crunch")]


def test_tasks_that_start_after_a_death_are_counted_as_retried() -> None:
    queue = NodeQueue(ExecutorOptions(), Clock(), 1)
    queue.worker_ready(7)
    run(queue, 1)
    queue.submit("s", RunTask(2, 2, payload=b"again"))
    assert queue.retried_count == 0  # It waits, and may still go elsewhere.
    queue.worker_result(7, WorkerResult(1, Outcome.RETURNED, b""))
    assert queue.retried_count == 1
