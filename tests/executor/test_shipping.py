"""Tasks that need modules: the submitter, the node's queue, and both together."""

from __future__ import annotations

import pytest

from grid.executor.bundles import BUNDLES_MAX, EVICTIONS_MAX, Code, code_of
from grid.executor.effects import Answer, Finished, GiveCode, QueueEffect, SendToNode, StartOnWorker
from grid.executor.messages import (
    CancelTask,
    Outcome,
    RunTask,
    ShipCode,
    TaskEnded,
    WorkerCode,
    WorkerResult,
    WorkerTask,
)
from grid.executor.options import ExecutorOptions
from grid.executor.queue import NodeQueue
from grid.executor.submissions import Submissions, Terms

from .samples import end, look, node, of_kind, sent, submissions

CODE = code_of(b"the modules of a program")
DIGEST = CODE.digest


def submit(tested: Submissions, count: int = 1, code: Code = CODE) -> list[SendToNode]:
    effects = [effect for _ in range(count) for effect in tested.submit(b"task", Terms(), code)[1]]
    return of_kind(SendToNode, effects)


def lacks(tested: Submissions, number: int, task: int, attempt: int = 1) -> list[object]:
    """Return what follows when a node says that it lacks a task's modules."""
    return [*end(tested, number, task, attempt, Outcome.CODE_MISSING)]


def messages(effects: list[object]) -> list[object]:
    return [effect.message for effect in of_kind(SendToNode, effects)]


def test_task_names_its_modules_and_does_not_bring_them() -> None:
    (effect,) = submit(submissions(1))
    assert effect.message == RunTask(1, 1, code=DIGEST, payload=b"task")


def test_node_that_lacks_them_gets_them_and_the_task_again_as_the_same_attempt() -> None:
    tested = submissions(1)
    submit(tested)
    effects = lacks(tested, 1, 1)
    assert messages(effects) == [ShipCode(CODE.bundle), RunTask(1, 1, code=DIGEST, payload=b"task")]
    assert end(tested, 1, 1) == [Finished(1, Outcome.RETURNED, b"result", node(1))]
    assert tested.retried_count == 0


def test_modules_go_to_a_node_once_for_all_tasks() -> None:
    tested = submissions(1, workers=3)
    submit(tested, 3)
    news = [message for task in (1, 2, 3) for message in messages(lacks(tested, 1, task))]
    assert of_kind(ShipCode, news) == [ShipCode(CODE.bundle)]
    assert len(of_kind(RunTask, news)) == 3


def test_each_node_gets_them() -> None:
    tested = submissions(1, 2)
    places = [effect.node_id for effect in submit(tested, 2)]
    for task, place in enumerate(places, start=1):
        effects = tested.ended(place, TaskEnded(task, 1, Outcome.CODE_MISSING))
        assert [e.node_id for e in of_kind(SendToNode, effects)] == [place, place]


def test_node_that_drops_them_again_and_again_is_given_up() -> None:
    tested = submissions(1)
    submit(tested)
    effects = lacks(tested, 1, 1)
    for _ in range(EVICTIONS_MAX + 1):
        assert len(messages(effects)) == 2
        effects = lacks(tested, 1, 1)
    assert effects == [Finished(1, Outcome.CODE_MISSING, b"result", node(1))]
    assert tested.unfinished() == set()


def test_node_that_was_lost_in_between_gets_them_anew() -> None:
    tested = submissions(1)
    submit(tested)
    lacks(tested, 1, 1)
    tested.node_lost(node(1))
    assert sent(look(tested, 1)) == [(node(1), 1, 2)]
    assert messages(lacks(tested, 1, 1, attempt=2))[0] == ShipCode(CODE.bundle)


def test_task_that_was_cancelled_meanwhile_is_not_sent_again() -> None:
    tested = submissions(1)
    submit(tested)
    assert messages([*tested.cancel(1)]) == [CancelTask(1)]
    assert lacks(tested, 1, 1) == [Finished(1, Outcome.CANCELLED, b"", None)]


# -- the node ---------------------------------------------------------------------------------


def queue_with(*workers: int, **options: int) -> NodeQueue:
    queue = NodeQueue(ExecutorOptions(**options), lambda: 0.0, len(workers) or 1)
    for worker in workers:
        queue.worker_ready(worker)
    return queue


def run(queue: NodeQueue, task: int, code: bytes = DIGEST, size: int = 1) -> list[QueueEffect]:
    return queue.submit("s", RunTask(task, 1, code=code, payload=bytes(size)))


def refused(task: int, outcome: Outcome) -> list[QueueEffect]:
    return [Answer("s", TaskEnded(task, 1, outcome))]


def test_task_whose_modules_the_node_lacks_is_refused() -> None:
    queue = queue_with(7)
    assert run(queue, 1) == refused(1, Outcome.CODE_MISSING)
    assert (queue.queued_count, queue.running_count) == (0, 0)


def test_worker_gets_the_modules_before_its_first_task_that_needs_them() -> None:
    queue = queue_with(7)
    queue.keep(CODE.bundle)
    assert run(queue, 1) == [
        GiveCode(7, WorkerCode(DIGEST, CODE.bundle)),
        StartOnWorker(7, WorkerTask(1, DIGEST, b"\0")),
    ]
    queue.worker_result(7, WorkerResult(1, Outcome.RETURNED))
    assert run(queue, 2) == [StartOnWorker(7, WorkerTask(2, DIGEST, b"\0"))]


def test_what_one_submitter_has_sent_is_there_for_all() -> None:
    queue = queue_with()
    queue.keep(CODE.bundle)
    for submitter in ("s", "t"):
        assert queue.submit(submitter, RunTask(1, 1, code=DIGEST)) == []
    assert queue.queued_count == 2


def test_worker_in_place_of_another_gets_them_anew() -> None:
    queue = queue_with(7)
    queue.keep(CODE.bundle)
    run(queue, 1)
    queue.worker_lost(7)
    queue.worker_ready(7)
    assert len(of_kind(GiveCode, run(queue, 2))) == 1


def test_task_that_waits_keeps_modules_that_the_node_has_dropped_meanwhile() -> None:
    queue = queue_with()
    queue.keep(CODE.bundle)
    assert run(queue, 1) == []
    for number in range(BUNDLES_MAX):
        queue.keep(b"%d" % number)
    assert run(queue, 2) == refused(2, Outcome.CODE_MISSING)
    assert of_kind(GiveCode, queue.worker_ready(7)) == [
        GiveCode(7, WorkerCode(DIGEST, CODE.bundle))
    ]


def test_worker_that_has_had_many_modules_gets_the_first_ones_again() -> None:
    queue = queue_with(7)
    codes = [code_of(b"%d" % number) for number in range(BUNDLES_MAX + 1)]
    for task, code in enumerate([*codes, codes[0]], start=1):
        queue.keep(code.bundle)
        assert len(of_kind(GiveCode, run(queue, task, code.digest))) == 1
        queue.worker_result(7, WorkerResult(task, Outcome.RETURNED))


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_modules_of_waiting_tasks_count_once_among_the_bytes_of_the_queue(
    is_cancelled: bool,
) -> None:
    bundle, size = bytes(2**19), 2**18
    digest = code_of(bundle).digest
    queue = queue_with(queue_bytes_max=2**20)
    queue.keep(bundle)
    assert run(queue, 1, digest, size) == run(queue, 2, digest, size) == []
    assert run(queue, 3, digest, size) == refused(3, Outcome.REFUSED_QUEUE_FULL)
    for task in (1, 2):
        if is_cancelled:
            queue.cancel("s", task)
        else:
            queue.worker_ready(task)
    assert run(queue, 4, digest, size) == run(queue, 5, digest, size) == []
    assert run(queue, 6, digest, size) == refused(6, Outcome.REFUSED_QUEUE_FULL)
