"""The tasks of one node: a bounded queue in front of its workers.

Responsible for: handing the next task to a free worker, one at a time; saying so when the
queue is full, when a task is cancelled, has run for too long, or when its worker has died.

Not responsible for: choosing the node (``placement.py``), running anything.

Every accepted task is answered exactly once by `TaskEnded`, unless its submitter is gone.

A worker that is ended because of its task (cancelled by force, or out of time) is answered for
when it is gone: until then it may still finish, and the answer is what happened.

A task that waits for tasks of its own frees its slot: another worker is wanted in place of its
own, up to `EXTRA_WORKERS_MAX`, so that tasks may submit tasks to any sensible depth. When it goes
on there is a worker too many, and the next one that becomes idle ends.

What waits here while another node is idle is given to that one if it would wait for long, the last
one first: that is, back to its submitter, who sends it on.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple

from grid.errors import ProtocolError
from grid.executor.bundles import Shelf, code_of
from grid.executor.effects import (
    Answer,
    EndWorker,
    GiveCode,
    QueueEffect,
    RetireWorker,
    StartOnWorker,
    WantWorkers,
)
from grid.executor.lanes import Lanes
from grid.executor.messages import (
    Outcome,
    RunTask,
    TaskEnded,
    TaskStarted,
    WorkerCode,
    WorkerResult,
    WorkerTask,
    WorkerWaiting,
)
from grid.executor.options import ExecutorOptions
from grid.executor.placement import BACKLOG_S, smoothed
from grid.types import NodeId, Payload

MOMENT_S = 0.05
"""A task that runs longer than this is told of as started: so its submitter knows what was
executing when a node died, at no cost for short ones."""

EXTRA_WORKERS_MAX = 64
"""Workers in place of those that wait; at this bound tasks queue until somebody goes on."""


@dataclass(frozen=True, slots=True)
class _Queued:
    """A task; its bundle is at hand even if others have driven that out of the node's shelf."""

    submitter: Hashable
    task: RunTask
    bundle: bytes | None = None


@dataclass(slots=True)
class _Running:
    """A task in a worker; `ending` is why that worker is being ended, if it is."""

    number: int
    queued: _Queued
    started_s: float
    is_told: bool = False
    is_waiting: bool = False
    ended_s: float | None = None
    """When it was over, if its result is still in the worker."""
    ending: Outcome | None = None

    @property
    def end_s(self) -> float | None:
        """When it is out of time."""
        timeout_ms = self.queued.task.timeout_ms
        has_end = timeout_ms and not self.ending and self.ended_s is None
        return self.started_s + timeout_ms / 1000 if has_end else None


class WorkerState(NamedTuple):
    """What a worker does now; `running_s` is how long it has had its task, None without one."""

    worker: int
    running_s: float | None
    is_waiting: bool
    """Its task waits for tasks of its own."""
    function: str = ""
    """What its task's submitter calls it."""


class NodeQueue:
    """Queue and workers of one node."""

    def __init__(self, options: ExecutorOptions, clock: Callable[[], float], workers: int) -> None:
        """Start without tasks; `clock` counts seconds, `workers` is how many there are to be."""
        self._options = options
        self._workers = self._wanted = workers
        self._clock = clock
        self._waiting: Lanes[tuple[Hashable, int], _Queued] = Lanes()
        self._waiting_bytes = 0
        self._waiting_codes: Counter[bytes] = Counter()
        self._bundles: Shelf[bytes, bytes] = Shelf()
        self._given: dict[int, Shelf[bytes, int]] = {}
        """The bundles that each worker has; it keeps a shelf of its own in the same way."""
        self._idle: deque[int] = deque()
        self._running: dict[int, _Running] = {}
        self._number = 0
        self._task_s: float | None = None
        self.done_count = 0
        self.retried_count = 0
        """Tasks started here that a worker or a node had died under before."""

    @property
    def queued_count(self) -> int:
        """Tasks waiting for a worker."""
        return len(self._waiting)

    @property
    def running_count(self) -> int:
        """Tasks in a worker now."""
        return len(self._running)

    @property
    def idle_count(self) -> int:
        """Workers that have nothing to do."""
        return len(self._idle)

    def workers(self) -> list[WorkerState]:
        """Return what each worker does now."""
        now_s = self._clock()
        states = [WorkerState(worker, None, False) for worker in self._idle]
        for worker, running in self._running.items():
            running_s, function = max(0.0, now_s - running.started_s), running.queued.task.function
            states.append(WorkerState(worker, running_s, running.is_waiting, function))
        return sorted(states)

    # -- submitters -----------------------------------------------------------------------

    def submit(self, submitter: Hashable, task: RunTask) -> list[QueueEffect]:
        """Accept a task, or refuse it: the queue is at its bound, or its bundle is not here."""
        queued = _Queued(submitter, task, self._bundles.get(task.code))
        if self._is_full(queued) and not self._idle:
            return [_answer(queued, Outcome.REFUSED_QUEUE_FULL)]
        if task.code and queued.bundle is None:
            return [_answer(queued, Outcome.CODE_MISSING)]
        self._waiting.push((submitter, task.task), queued, task.priority)
        self._waiting_bytes += self._bytes_more(queued)
        if task.code:
            self._waiting_codes[task.code] += 1
        return self._start_next()

    def keep(self, bundle: bytes) -> None:
        """Keep a bundle, for the tasks that name it."""
        code = code_of(bundle)
        self._bundles.put(code.digest, bundle, len(bundle))

    def cancel(
        self, submitter: Hashable, task: int, *, is_forced: bool = False
    ) -> list[QueueEffect]:
        """Drop a queued task; end a running one by force, else say that it runs."""
        queued = self._take((submitter, task))
        if queued is not None:
            return [_answer(queued, Outcome.CANCELLED)]
        for worker, running in self._running.items():
            mine = running.queued
            if mine.submitter == submitter and mine.task.task == task:
                if not is_forced:
                    running.is_told = True
                    return [Answer(submitter, TaskStarted(task, mine.task.attempt))]
                return self._end(worker, running, Outcome.KILLED)
        return []  # It has been answered; that is on its way.

    def submitter_gone(self, submitter: Hashable) -> None:
        """Drop what it has queued; results of what still runs will be thrown away."""
        for queued in list(self._waiting):
            if queued.submitter == submitter:
                self._take((submitter, queued.task.task))

    def give(self, thief: NodeId, count: int) -> list[QueueEffect]:
        """Give back up to `count` tasks that would wait for long, because `thief` is idle."""
        if not self._waits_long():
            return []
        movable = [queued for queued in self._waiting if queued.task.may_move]
        given = movable[-count:]
        for queued in given:
            self._take((queued.submitter, queued.task.task))
        return [_answer(queued, Outcome.GIVEN, thief) for queued in given]

    # -- workers --------------------------------------------------------------------------

    def worker_ready(self, worker: int) -> list[QueueEffect]:
        """A new worker waits for tasks."""
        self._idle.append(worker)
        return self._start_next()

    def worker_result(self, worker: int, result: WorkerResult) -> list[QueueEffect]:
        """A worker has finished its task.

        Raises: ProtocolError when it has none, or another; its connection must be cut then.
        """
        running = self._running.get(worker)
        if running is None or running.number != result.number:
            raise ProtocolError("a worker answers a task that it was not given")
        del self._running[worker]
        self.done_count += 1
        ended_s = self._clock() if running.ended_s is None else running.ended_s
        ran_s = max(0.0, ended_s - running.started_s)
        self._task_s = smoothed(self._task_s, ran_s)
        answer = _answer(running.queued, result.outcome, result.payload, round(ran_s * 1e6))
        if running.ending is not None:
            return [answer]  # It is being ended all the same, and must not begin anything.
        effects = [answer, *self._want()]
        if len(self._idle) + len(self._running) >= self._wanted:
            self._given.pop(worker, None)
            return [*effects, RetireWorker(worker)]
        self._idle.append(worker)
        return [*effects, *self._start_next()]

    def worker_done(self, worker: int, number: int) -> Hashable | None:
        """A worker's task is over, its result is to come; return whose task, if it is any."""
        running = self._running.get(worker)
        if running is None or running.number != number:
            return None
        running.ended_s = self._clock()
        return running.queued.submitter

    def worker_waiting(self, worker: int, message: WorkerWaiting) -> list[QueueEffect]:
        """A worker says that its task waits for others, or goes on."""
        running = self._running.get(worker)
        if running is None or running.number != message.number:
            return []  # It has ended meanwhile.
        running.is_waiting = message.is_waiting
        return self._want()

    def worker_lost(self, worker: int, evidence: str = "") -> list[QueueEffect]:
        """A worker died, maybe under a task; `evidence` says how."""
        if worker in self._idle:
            self._idle.remove(worker)
        self._given.pop(worker, None)
        running = self._running.pop(worker, None)
        if running is None:
            return []
        outcome = running.ending or Outcome.WORKER_DIED
        ran_us = max(0, round((self._clock() - running.started_s) * 1e6))
        return [_answer(running.queued, outcome, evidence.encode(), ran_us), *self._want()]

    # -- time -----------------------------------------------------------------------------

    def due_s(self) -> float | None:
        """Return when to call `tick`, on the clock; None: not before something happens."""
        dues = [r.started_s + MOMENT_S for r in self._running.values() if not r.is_told]
        dues += [r.end_s for r in self._running.values() if r.end_s is not None]
        return min(dues, default=None)

    def tick(self) -> list[QueueEffect]:
        """Tell of what has been running for a moment, end what has run for too long."""
        now_s = self._clock()
        effects: list[QueueEffect] = []
        for worker, running in self._running.items():
            if not running.is_told and now_s >= running.started_s + MOMENT_S:
                running.is_told = True
                task = running.queued.task
                message = TaskStarted(task.task, task.attempt)
                effects.append(Answer(running.queued.submitter, message))
            if running.end_s is not None and now_s >= running.end_s:
                effects += self._end(worker, running, Outcome.TIMED_OUT)
        return effects

    # -- parts ----------------------------------------------------------------------------

    def _is_full(self, queued: _Queued) -> bool:
        if len(self._waiting) >= self._options.queue_length_max:
            return True
        more_bytes = self._bytes_more(queued)
        is_over = self._waiting_bytes + more_bytes > self._options.queue_bytes_max
        return is_over and len(self._waiting) > 0

    def _bytes_more(self, queued: _Queued) -> int:
        """Return what a task takes beside those that wait: its bundle counts for the first."""
        is_first = queued.bundle is not None and not self._waiting_codes[queued.task.code]
        return len(queued.task.payload) + (len(queued.bundle or b"") if is_first else 0)

    def _take(self, key: tuple[Hashable, int]) -> _Queued | None:
        """Take a task out of those that wait, if it does."""
        queued = self._waiting.remove(key)
        if queued is not None:
            self._count_out(queued)
        return queued

    def _count_out(self, queued: _Queued) -> None:
        """A task does not wait any more."""
        code = queued.task.code
        if code:
            self._waiting_codes[code] -= 1
        self._waiting_bytes -= self._bytes_more(queued)
        if code and not self._waiting_codes[code]:
            del self._waiting_codes[code]

    def _want(self) -> list[QueueEffect]:
        """Say how many workers there shall be, if that has changed."""
        waiting = sum(running.is_waiting for running in self._running.values())
        wanted = self._workers + min(waiting, EXTRA_WORKERS_MAX)
        if wanted == self._wanted:
            return []
        self._wanted = wanted
        return [WantWorkers(wanted)]

    def _waits_long(self) -> bool:
        """Whether the last task in the queue will start sooner elsewhere."""
        if not self._waiting or self._idle:
            return False
        wait_s = (self._task_s or 0.0) * len(self._waiting) / max(self._workers, 1)
        return wait_s >= BACKLOG_S or all(running.is_told for running in self._running.values())

    def _end(self, worker: int, running: _Running, reason: Outcome) -> list[QueueEffect]:
        if running.ending is not None:
            return []
        running.ending = reason
        return [EndWorker(worker, reason)]

    def _start_next(self) -> list[QueueEffect]:
        effects: list[QueueEffect] = []
        while self._waiting and self._idle:
            worker, queued = self._idle.popleft(), self._waiting.pop()
            self._count_out(queued)
            self._number += 1
            self.retried_count += queued.task.attempt > 1
            self._running[worker] = _Running(self._number, queued, self._clock())
            task = queued.task
            if queued.bundle is not None:
                effects += self._give(worker, task.code, queued.bundle)
            effects.append(StartOnWorker(worker, WorkerTask(self._number, task.code, task.payload)))
        return effects

    def _give(self, worker: int, digest: bytes, bundle: bytes) -> list[QueueEffect]:
        """Give a worker the bundle of its next task, unless it has it."""
        given = self._given.setdefault(worker, Shelf())
        if given.get(digest) is not None:
            return []
        given.put(digest, worker, len(bundle))
        return [GiveCode(worker, WorkerCode(digest, bundle))]


def _answer(queued: _Queued, outcome: Outcome, payload: Payload = b"", ran_us: int = 0) -> Answer:
    task = queued.task
    return Answer(queued.submitter, TaskEnded(task.task, task.attempt, outcome, ran_us, payload))
