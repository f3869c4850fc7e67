"""The tasks of one node."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from grid.executor.effects import (
    Answer,
    EndWorker,
    QueueEffect,
    RetireWorker,
    StartOnWorker,
    WantWorkers,
)
from grid.executor.messages import (
    Outcome,
    RunTask,
    TaskEnded,
    TaskStarted,
    WorkerResult,
    WorkerTask,
    WorkerWaiting,
)
from grid.executor.options import ExecutorOptions
from grid.executor.placement import BACKLOG_S
from grid.executor.queue import EXTRA_WORKERS_MAX, MOMENT_S, NodeQueue
from grid.types import NodeId

from .samples import of_kind

THIEF = NodeId(b"the thief's  id ")


class Clock:
    """Time that passes when a test says so."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def queue_with(*workers: int, length_max: int = 10) -> NodeQueue:
    queue = NodeQueue(ExecutorOptions(queue_length_max=length_max), Clock(), len(workers) or 1)
    for worker in workers:
        assert queue.worker_ready(worker) == []
    return queue


def run(queue: NodeQueue, task: int, submitter: str = "s", attempt: int = 1) -> list[QueueEffect]:
    return queue.submit(submitter, RunTask(task, attempt, payload=b"%d" % task))


def answers(effects: list[QueueEffect]) -> list[tuple[object, int, Outcome]]:
    found = of_kind(Answer, effects)
    return [
        (answer.submitter, answer.message.task, answer.message.outcome)
        for answer in found
        if isinstance(answer.message, TaskEnded)
    ]


def test_free_worker_gets_the_task_at_once() -> None:
    queue = queue_with(7)
    assert run(queue, 1) == [StartOnWorker(7, WorkerTask(1, payload=b"1"))]
    assert (queue.queued_count, queue.running_count) == (0, 1)


def test_tasks_wait_in_order_and_one_at_a_time() -> None:
    queue = queue_with(7)
    run(queue, 1)
    assert run(queue, 2) == run(queue, 3) == []
    assert (queue.queued_count, queue.running_count) == (2, 1)
    effects = queue.worker_result(7, WorkerResult(1, Outcome.RAISED, b"error"))
    assert effects == [
        Answer("s", TaskEnded(1, 1, Outcome.RAISED, payload=b"error")),
        StartOnWorker(7, WorkerTask(2, payload=b"2")),
    ]
    assert queue.done_count == 1


def test_worker_that_becomes_ready_takes_what_waits() -> None:
    queue = queue_with()
    run(queue, 1)
    assert queue.worker_ready(4) == [StartOnWorker(4, WorkerTask(1, payload=b"1"))]


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


def test_queue_is_bounded_by_bytes_as_well_but_a_single_task_always_fits() -> None:
    queue = NodeQueue(ExecutorOptions(queue_bytes_max=2**20), Clock(), 1)
    for task, size in enumerate([2**20 + 1, 1, 2**20, 2**20 - 5]):
        effects = queue.submit("s", RunTask(task, 1, payload=bytes(size)))
        assert bool(answers(effects)) == (task in (1, 2, 3))
    queue.cancel("s", 0)
    for task, size in enumerate([2**20 - 5, 5, 1], start=10):
        effects = queue.submit("s", RunTask(task, 1, payload=bytes(size)))
        assert bool(answers(effects)) == (task == 12)
    queue.worker_ready(7)
    assert queue.submit("s", RunTask(13, 1, payload=bytes(2**19))) == []


def test_queued_task_is_cancelled_and_a_running_one_is_not() -> None:
    queue = queue_with(7)
    run(queue, 1)
    run(queue, 2, "other")
    run(queue, 2)
    assert queue.cancel("s", 1) == [Answer("s", TaskStarted(1, 1))]
    assert answers(queue.cancel("s", 2)) == [("s", 2, Outcome.CANCELLED)]
    assert queue.cancel("s", 2) == []
    assert (queue.queued_count, queue.running_count) == (1, 1)
    effects = queue.worker_result(7, WorkerResult(1, Outcome.RETURNED, b""))
    assert of_kind(StartOnWorker, effects) == [StartOnWorker(7, WorkerTask(2, payload=b"2"))]


def test_tasks_of_a_submitter_that_is_gone_are_dropped() -> None:
    queue = queue_with(7)
    run(queue, 1)
    run(queue, 2, "stays")
    run(queue, 3)
    queue.submitter_gone("s")
    assert queue.queued_count == 1
    effects = queue.worker_result(7, WorkerResult(1, Outcome.RETURNED, b""))
    assert of_kind(StartOnWorker, effects) == [StartOnWorker(7, WorkerTask(2, payload=b"2"))]


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
    assert run(queue, 1) == [StartOnWorker(8, WorkerTask(1, payload=b"1"))]


@pytest.mark.parametrize("seed", range(20))
def test_every_accepted_task_is_answered_exactly_once(seed: int) -> None:
    random = Random(seed)
    clock = Clock()
    queue = NodeQueue(ExecutorOptions(queue_length_max=5), clock, 2)
    for worker in (0, 1):
        queue.worker_ready(worker)
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
        clock.now_s += MOMENT_S
        note(queue.tick())
        action = random.choice(["submit"] * 6 + ["result", "lose", "cancel", "give"])
        if action == "submit":
            task += 1
            note(run(queue, task))
        elif action == "cancel":
            note(queue.cancel("s", task - random.randint(0, 8)))
        elif action == "give":
            note(queue.give(THIEF, random.randint(1, 2)))
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
    counts = Counter(task for _, task, _ in answers(effects))
    assert counts == dict.fromkeys(range(1, task + 1), 1)
    assert {outcome for _, _, outcome in answers(effects)} == set(Outcome) - {
        Outcome.RAISED, Outcome.KILLED, Outcome.TIMED_OUT, Outcome.CODE_MISSING,
    }  # fmt: skip
    assert (queue.queued_count, queue.running_count) == (0, 0)


def test_running_task_that_is_cancelled_by_force_ends_with_its_worker() -> None:
    queue = queue_with(7)
    run(queue, 1)
    assert queue.cancel("s", 1, is_forced=True) == [EndWorker(7, Outcome.KILLED)]
    assert queue.cancel("s", 1, is_forced=True) == []
    assert answers(queue.worker_lost(7, "killed")) == [("s", 1, Outcome.KILLED)]


def test_worker_that_answers_while_it_is_being_ended_gets_nothing_more() -> None:
    queue = queue_with(7)
    run(queue, 1)
    run(queue, 2)
    queue.cancel("s", 1, is_forced=True)
    effects = queue.worker_result(7, WorkerResult(1, Outcome.RETURNED, b""))
    assert answers(effects) == [("s", 1, Outcome.RETURNED)]
    assert of_kind(StartOnWorker, effects) == []
    assert queue.worker_lost(7) == []
    assert queue.worker_ready(8) == [StartOnWorker(8, WorkerTask(2, payload=b"2"))]


def clocked() -> tuple[NodeQueue, Clock]:
    clock = Clock()
    queue = NodeQueue(ExecutorOptions(), clock, 1)
    queue.worker_ready(7)
    return queue, clock


def test_task_is_told_of_as_started_after_a_moment_and_once() -> None:
    queue, clock = clocked()
    assert queue.due_s() is None
    run(queue, 1)
    assert queue.due_s() == MOMENT_S
    assert queue.tick() == []
    clock.now_s = MOMENT_S
    assert queue.tick() == [Answer("s", TaskStarted(1, 1))]
    assert queue.due_s() is None
    assert queue.tick() == []


def test_task_that_runs_for_too_long_ends_with_its_worker() -> None:
    queue, clock = clocked()
    queue.submit("s", RunTask(1, 1, payload=b"", timeout_ms=10))
    assert queue.due_s() == 0.01
    clock.now_s = 0.01
    assert queue.tick() == [EndWorker(7, Outcome.TIMED_OUT)]
    assert queue.tick() == []
    assert answers(queue.worker_lost(7)) == [("s", 1, Outcome.TIMED_OUT)]


def test_time_in_the_queue_does_not_count() -> None:
    queue, clock = clocked()
    run(queue, 1)
    queue.submit("s", RunTask(2, 1, payload=b"", timeout_ms=10))
    clock.now_s = 5.0
    queue.worker_result(7, WorkerResult(1, Outcome.RETURNED, b""))
    assert of_kind(EndWorker, queue.tick()) == []
    assert queue.due_s() == 5.01


def test_answer_says_how_long_the_task_ran() -> None:
    queue, clock = clocked()
    run(queue, 1)
    clock.now_s = 0.25
    (answer,) = queue.worker_result(7, WorkerResult(1, Outcome.RETURNED, b""))
    assert answer == Answer("s", TaskEnded(1, 1, Outcome.RETURNED, 250_000, b""))


def test_death_of_a_worker_is_answered_with_the_evidence() -> None:
    queue = queue_with(7)
    run(queue, 1)
    (answer,) = queue.worker_lost(7, "killed by SIGSEGV")
    assert isinstance(answer, Answer)
    assert isinstance(answer.message, TaskEnded)
    assert answer.message.payload == b"killed by SIGSEGV"


def test_task_whose_result_waits_in_its_worker_is_over_for_its_timeout() -> None:
    clock = Clock()
    queue = NodeQueue(ExecutorOptions(), lambda: clock.now_s, workers=1)
    queue.worker_ready(7)
    queue.submit("s", RunTask(1, 1, timeout_ms=100))
    clock.now_s += 0.09
    assert queue.worker_done(7, 1) == "s"
    assert queue.worker_done(7, 2) is None
    clock.now_s += 60
    assert of_kind(EndWorker, queue.tick()) == []
    (answer,) = queue.worker_result(7, WorkerResult(1, Outcome.RETURNED))
    assert answer == Answer("s", TaskEnded(1, 1, Outcome.RETURNED, 90_000))


def test_highest_priority_starts_first() -> None:
    queue = queue_with(7)
    run(queue, 1)
    for task, priority in ((2, 0), (3, 5), (4, 5), (5, -1)):
        queue.submit("s", RunTask(task, 1, priority, payload=b"%d" % task))
    started = []
    for number in range(1, 5):
        effects = queue.worker_result(7, WorkerResult(number, Outcome.RETURNED, b""))
        started += [start.task.payload for start in of_kind(StartOnWorker, effects)]
    assert started == [b"3", b"4", b"2", b"5"]


def test_task_that_waits_for_others_makes_room_for_another_worker() -> None:
    queue = queue_with(7)
    run(queue, 1)
    run(queue, 2)
    assert queue.worker_waiting(7, WorkerWaiting(1, is_waiting=True)) == [WantWorkers(2)]
    assert queue.worker_waiting(7, WorkerWaiting(1, is_waiting=True)) == []
    assert queue.worker_ready(8) == [StartOnWorker(8, WorkerTask(2, payload=b"2"))]
    assert queue.worker_waiting(7, WorkerWaiting(1, is_waiting=False)) == [WantWorkers(1)]
    effects = queue.worker_result(8, WorkerResult(2, Outcome.RETURNED, b""))
    assert of_kind(RetireWorker, effects) == [RetireWorker(8)]
    assert queue.worker_lost(8) == []
    effects = queue.worker_result(7, WorkerResult(1, Outcome.RETURNED, b""))
    assert of_kind(RetireWorker, effects) == []
    assert len(of_kind(StartOnWorker, run(queue, 3))) == 1


def test_task_that_ends_or_dies_does_not_wait_any_more() -> None:
    queue = queue_with(7)
    run(queue, 1)
    queue.worker_waiting(7, WorkerWaiting(1, is_waiting=True))
    assert WantWorkers(1) in queue.worker_result(7, WorkerResult(1, Outcome.RETURNED, b""))
    run(queue, 2)
    queue.worker_waiting(7, WorkerWaiting(2, is_waiting=True))
    assert WantWorkers(1) in queue.worker_lost(7)


def test_word_about_a_task_that_is_over_is_ignored() -> None:
    queue = queue_with(7)
    run(queue, 1)
    assert queue.worker_waiting(7, WorkerWaiting(2, is_waiting=True)) == []
    assert queue.worker_waiting(8, WorkerWaiting(1, is_waiting=True)) == []


def test_workers_in_place_of_those_that_wait_are_bounded() -> None:
    many = range(EXTRA_WORKERS_MAX + 5)
    queue = queue_with(*many, length_max=1000)
    for number in many:
        run(queue, number)
    wanted = [
        effect.count
        for number in many
        for effect in of_kind(
            WantWorkers, queue.worker_waiting(number, WorkerWaiting(number + 1, is_waiting=True))
        )
    ]
    assert wanted[-1] == len(many) + EXTRA_WORKERS_MAX


def long_queue(*waiting: int) -> NodeQueue:
    """Return a queue whose worker has been at task 1 for a moment while these wait."""
    queue, clock = clocked()
    for task in (1, *waiting):
        run(queue, task)
    clock.now_s = MOMENT_S
    queue.tick()
    return queue


def test_tasks_that_wait_for_long_are_given_back_from_the_end() -> None:
    queue = long_queue(2, 3, 4)
    effects = queue.give(THIEF, 2)
    assert answers(effects) == [("s", 3, Outcome.GIVEN), ("s", 4, Outcome.GIVEN)]
    assert effects[0] == Answer("s", TaskEnded(3, 1, Outcome.GIVEN, payload=THIEF))
    assert queue.queued_count == 1


def test_task_that_is_tied_to_the_node_is_not_given_away() -> None:
    queue = long_queue(2)
    queue.submit("s", RunTask(3, 1, payload=b"here only", may_move=False))
    assert answers(queue.give(THIEF, 2)) == [("s", 2, Outcome.GIVEN)]
    assert queue.give(THIEF, 2) == []


def test_nothing_is_given_away_that_will_soon_start_here() -> None:
    queue = queue_with(7)
    run(queue, 1)
    queue.worker_result(7, WorkerResult(1, Outcome.RETURNED, b""))
    for task in (2, 3):
        run(queue, task)
    assert queue.give(THIEF, 1) == []


def test_many_tasks_of_some_length_wait_for_long_as_well() -> None:
    queue, clock = clocked()
    run(queue, 1)
    clock.now_s = BACKLOG_S
    queue.worker_result(7, WorkerResult(1, Outcome.RETURNED, b""))
    run(queue, 2)
    assert queue.give(THIEF, 1) == []
    run(queue, 3)
    assert answers(queue.give(THIEF, 1)) == [("s", 3, Outcome.GIVEN)]
