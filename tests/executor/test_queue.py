"""The tasks of one node."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from grid.executor.messages import Outcome, RunTask, TaskEnded, WorkerResult, WorkerTask
from grid.executor.options import ExecutorOptions
from grid.executor.queue import Answer, NodeQueue, QueueEffect, StartOnWorker

from .samples import of_kind


def queue_with(*workers: int, length_max: int = 10) -> NodeQueue:
    queue = NodeQueue(ExecutorOptions(queue_length_max=length_max))
    for worker in workers:
        assert queue.worker_ready(worker) == []
    return queue


def run(queue: NodeQueue, task: int, submitter: str = "s", attempt: int = 1) -> list[QueueEffect]:
    return queue.submit(submitter, RunTask(task, attempt, b"%d" % task))


def answers(effects: list[QueueEffect]) -> list[tuple[object, int, Outcome]]:
    found = of_kind(Answer, effects)
    return [(answer.submitter, answer.message.task, answer.message.outcome) for answer in found]


def test_free_worker_gets_the_task_at_once() -> None:
    queue = queue_with(7)
    assert run(queue, 1) == [StartOnWorker(7, WorkerTask(1, b"1"))]
    assert (queue.queued_count, queue.running_count) == (0, 1)


def test_tasks_wait_in_order_and_one_at_a_time() -> None:
    queue = queue_with(7)
    run(queue, 1)
    assert run(queue, 2) == run(queue, 3) == []
    assert (queue.queued_count, queue.running_count) == (2, 1)
    effects = queue.worker_result(7, WorkerResult(1, Outcome.RAISED, b"error"))
    assert effects == [
        Answer("s", TaskEnded(1, 1, Outcome.RAISED, b"error")),
        StartOnWorker(7, WorkerTask(2, b"2")),
    ]
    assert queue.done_count == 1


def test_worker_that_becomes_ready_takes_what_waits() -> None:
    queue = queue_with()
    run(queue, 1)
    assert queue.worker_ready(4) == [StartOnWorker(4, WorkerTask(1, b"1"))]


def test_full_queue_refuses_and_keeps_what_it_has() -> None:
    queue = queue_with(7, length_max=2)
    for task in (1, 2, 3):
        assert answers(run(queue, task)) == []
    assert answers(run(queue, 4, attempt=2)) == [("s", 4, Outcome.REFUSED_QUEUE_FULL)]
    assert queue.queued_count == 2


def test_queue_without_workers_takes_tasks_up_to_its_bound() -> None:
    queue = queue_with(length_max=1)
    assert run(queue, 1) == []
    assert answers(run(queue, 2)) == [("s", 2, Outcome.REFUSED_QUEUE_FULL)]


def test_queued_task_is_cancelled_and_a_running_one_is_not() -> None:
    queue = queue_with(7)
    run(queue, 1)
    run(queue, 2, "other")
    run(queue, 2)
    assert queue.cancel("s", 1) == []
    assert answers(queue.cancel("s", 2)) == [("s", 2, Outcome.CANCELLED)]
    assert queue.cancel("s", 2) == []
    assert (queue.queued_count, queue.running_count) == (1, 1)
    effects = queue.worker_result(7, WorkerResult(1, Outcome.RETURNED, b""))
    assert of_kind(StartOnWorker, effects) == [StartOnWorker(7, WorkerTask(2, b"2"))]


def test_tasks_of_a_submitter_that_is_gone_are_dropped() -> None:
    queue = queue_with(7)
    run(queue, 1)
    run(queue, 2, "stays")
    run(queue, 3)
    queue.submitter_gone("s")
    assert queue.queued_count == 1
    effects = queue.worker_result(7, WorkerResult(1, Outcome.RETURNED, b""))
    assert of_kind(StartOnWorker, effects) == [StartOnWorker(7, WorkerTask(2, b"2"))]


def test_task_of_a_dead_worker_is_answered_and_the_worker_not_used_again() -> None:
    queue = queue_with(7)
    run(queue, 1)
    assert answers(queue.worker_lost(7)) == [("s", 1, Outcome.WORKER_DIED)]
    assert run(queue, 2) == []
    assert queue.worker_lost(7) == []
    assert (queue.queued_count, queue.running_count, queue.done_count) == (1, 0, 0)


def test_idle_worker_that_died_gets_nothing() -> None:
    queue = queue_with(7, 8)
    assert queue.worker_lost(7) == []
    assert run(queue, 1) == [StartOnWorker(8, WorkerTask(1, b"1"))]


@pytest.mark.parametrize("seed", range(20))
def test_every_accepted_task_is_answered_exactly_once(seed: int) -> None:
    random = Random(seed)
    queue = queue_with(0, 1, length_max=5)
    effects: list[QueueEffect] = []
    busy: dict[int, int] = {}
    next_worker = 2
    task = 0

    def note(news: list[QueueEffect]) -> None:
        effects.extend(news)
        for start in of_kind(StartOnWorker, news):
            assert start.worker not in busy
            busy[start.worker] = start.task.number

    for _ in range(300):
        action = random.choice(["submit"] * 3 + ["result", "lose", "cancel"])
        if action == "submit":
            task += 1
            note(run(queue, task))
        elif action == "cancel":
            note(queue.cancel("s", task - random.randint(0, 8)))
        elif busy:
            worker = random.choice(list(busy))
            number = busy.pop(worker)
            if action == "result":
                note(queue.worker_result(worker, WorkerResult(number, Outcome.RETURNED, b"")))
            else:
                note(queue.worker_lost(worker))
                note(queue.worker_ready(next_worker))
                next_worker += 1
    while busy:
        worker, number = busy.popitem()
        note(queue.worker_result(worker, WorkerResult(number, Outcome.RETURNED, b"")))
    counts = Counter(answer.message.task for answer in of_kind(Answer, effects))
    assert counts == dict.fromkeys(range(1, task + 1), 1)
    assert {outcome for _, _, outcome in answers(effects)} == set(Outcome) - {Outcome.RAISED}
    assert (queue.queued_count, queue.running_count) == (0, 0)
