"""The tasks of one node: a bounded queue in front of its workers.

Responsible for: handing the next task to a free worker, one at a time; saying so when the
queue is full, when a task is cancelled, when a worker dies under one.

Not responsible for: choosing the node (``placement.py``), running anything.

Every accepted task is answered exactly once, unless its submitter is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

from grid.errors import ProtocolError
from grid.executor.messages import Outcome, RunTask, TaskEnded, WorkerResult, WorkerTask
from grid.executor.options import ExecutorOptions


@dataclass(frozen=True, slots=True)
class StartOnWorker:
    """Effect: send `task` to a worker, which is busy from now on."""

    worker: int
    task: WorkerTask


@dataclass(frozen=True, slots=True)
class Answer:
    """Effect: tell the submitter how an attempt ended."""

    submitter: Hashable
    message: TaskEnded


QueueEffect = StartOnWorker | Answer


@dataclass(frozen=True, slots=True)
class _Queued:
    submitter: Hashable
    task: RunTask


class NodeQueue:
    """Queue and workers of one node."""

    def __init__(self, options: ExecutorOptions) -> None:
        """Start without workers and tasks."""
        self._options = options
        self._queue: deque[_Queued] = deque()
        self._idle: deque[int] = deque()
        self._running: dict[int, tuple[int, _Queued]] = {}
        self._number = 0
        self.done_count = 0

    @property
    def queued_count(self) -> int:
        """Tasks waiting for a worker."""
        return len(self._queue)

    @property
    def running_count(self) -> int:
        """Tasks in a worker now."""
        return len(self._running)

    def submit(self, submitter: Hashable, task: RunTask) -> list[QueueEffect]:
        """Accept a task, or refuse it when the queue is at its bound."""
        if len(self._queue) >= self._options.queue_length_max and not self._idle:
            return [_answer(_Queued(submitter, task), Outcome.REFUSED_QUEUE_FULL)]
        self._queue.append(_Queued(submitter, task))
        return self._start_next()

    def cancel(self, submitter: Hashable, task: int) -> list[QueueEffect]:
        """Drop a queued task; a running one is not touched."""
        for queued in self._queue:
            if queued.submitter == submitter and queued.task.task == task:
                self._queue.remove(queued)
                return [_answer(queued, Outcome.CANCELLED)]
        return []

    def submitter_gone(self, submitter: Hashable) -> None:
        """Drop what it has queued; results of what still runs will be thrown away."""
        self._queue = deque(q for q in self._queue if q.submitter != submitter)

    def worker_ready(self, worker: int) -> list[QueueEffect]:
        """A new worker waits for tasks."""
        self._idle.append(worker)
        return self._start_next()

    def worker_result(self, worker: int, result: WorkerResult) -> list[QueueEffect]:
        """A worker has finished its task.

        Raises: ProtocolError when it has none, or another; its connection must be cut then.
        """
        running = self._running.get(worker)
        if running is None or running[0] != result.number:
            raise ProtocolError("a worker answers a task that it was not given")
        queued = self._running.pop(worker)[1]
        self.done_count += 1
        self._idle.append(worker)
        return [_answer(queued, result.outcome, result.payload), *self._start_next()]

    def worker_lost(self, worker: int) -> list[QueueEffect]:
        """A worker died, maybe under a task."""
        if worker in self._idle:
            self._idle.remove(worker)
        running = self._running.pop(worker, None)
        return [] if running is None else [_answer(running[1], Outcome.WORKER_DIED)]

    def _start_next(self) -> list[QueueEffect]:
        effects: list[QueueEffect] = []
        while self._queue and self._idle:
            worker, queued = self._idle.popleft(), self._queue.popleft()
            self._number += 1
            self._running[worker] = (self._number, queued)
            effects.append(StartOnWorker(worker, WorkerTask(self._number, queued.task.payload)))
        return effects


def _answer(queued: _Queued, outcome: Outcome, payload: bytes = b"") -> Answer:
    task = queued.task
    return Answer(queued.submitter, TaskEnded(task.task, task.attempt, outcome, payload))
