"""The tasks of this node: its queue, connected to its workers, to the sessions that submit, and
to other nodes, who are asked for tasks when there is nothing to do here.

Runs in: network process. A lost worker only ends its task.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from random import Random

from grid.executor.effects import (
    Answer,
    EndWorker,
    GiveCode,
    QueueEffect,
    RetireWorker,
    StartOnWorker,
    WantWorkers,
)
from grid.executor.messages import (
    FromWorker,
    Outcome,
    RunTask,
    SendResult,
    ShipCode,
    TaskRequest,
    ToWorker,
    WorkerDone,
    WorkerResult,
    WorkerWaiting,
    WorkWanted,
)
from grid.executor.options import ExecutorOptions
from grid.executor.queue import NodeQueue, WorkerState
from grid.executor.room import ResultRoom
from grid.executor.stealing import Thief
from grid.transport.stream import FrameStream, attach
from grid.types import NodeId, log_text
from grid.wire.catalog import decode_from_worker, pieces_of

logger = logging.getLogger("grid.tasks")

ENDINGS = {
    Outcome.KILLED: "its task was cancelled by force",
    Outcome.TIMED_OUT: "its task ran longer than its timeout",
}
"""Why a worker is killed here: its end alone would look like the work of somebody else."""

EVIDENCE_WAIT_S = 2.0
"""How long a worker's end may go unexplained by the supervisor, who reaps it."""


@dataclass(slots=True)
class _Worker:
    """A worker's pipe and process; `end` is how it ended, once the supervisor has said so."""

    stream: FrameStream
    pid: int
    pidfd: int
    is_gone: bool = False
    end: str = ""


class WorkerLinks:
    """The workers of this node; the supervisor passes pipe and pidfd of each new one."""

    def __init__(
        self,
        passed: socket.socket,
        *,
        on_ready: Callable[[int], None],
        on_message: Callable[[int, FromWorker], None],
        on_lost: Callable[[int, str], None],
    ) -> None:
        """`passed` brings the network's end of each worker's pipe."""
        self._passed = passed
        self._on_ready = on_ready
        self._on_message = on_message
        self._on_lost = on_lost
        self._workers: dict[int, _Worker] = {}
        self._next_number = 0
        self._attaching: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin to receive workers' pipes."""
        self._passed.setblocking(False)
        asyncio.get_running_loop().add_reader(self._passed.fileno(), self._receive_pipe)

    def send(self, worker: int, message: ToWorker) -> None:
        """Give a worker its task, or what that needs."""
        self._workers[worker].stream.send(*pieces_of(message))

    def kill(self, worker: int) -> None:
        """End a worker's process; `on_lost` follows."""
        known = self._workers.get(worker)
        if known is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(known.pidfd, signal.SIGKILL)

    def retire(self, worker: int) -> None:
        """Let an idle worker end by itself."""
        self._workers[worker].stream.close()

    def ended(self, pid: int, description: str) -> None:
        """The supervisor says how a worker's process ended."""
        for number, worker in self._workers.items():
            if worker.pid == pid and not worker.end:
                worker.end = description
                if worker.is_gone:
                    self._forget(number)
                return  # Else its pipe may still hold its last words.

    def pid_of(self, worker: int) -> int:
        """Return the process id of a worker; 0 when it is gone."""
        known = self._workers.get(worker)
        return 0 if known is None else known.pid

    def close(self) -> None:
        """End the pipes: idle workers exit."""
        asyncio.get_running_loop().remove_reader(self._passed.fileno())
        for worker in list(self._workers.values()):
            worker.stream.close()

    def _receive_pipe(self) -> None:
        data, fds, _, _ = socket.recv_fds(self._passed, 16, 2)
        if not fds:
            if not data:
                asyncio.get_running_loop().remove_reader(self._passed.fileno())
            return
        pid = int.from_bytes(data, "big")
        attaching = self._attach(socket.socket(fileno=fds[0]), pid, fds[1])
        task = asyncio.get_running_loop().create_task(attaching)
        self._attaching.add(task)
        task.add_done_callback(self._attaching.discard)

    async def _attach(self, sock: socket.socket, pid: int, pidfd: int) -> None:
        """Number the worker anew: a replaced one must not inherit its predecessor's task."""
        self._next_number += 1
        number = self._next_number
        stream = FrameStream(
            lambda body: self._on_message(number, decode_from_worker(body)),
            lambda: self._lose(number),
        )
        self._workers[number] = _Worker(stream, pid, pidfd)
        await attach(sock, stream)
        self._on_ready(number)

    def _lose(self, number: int) -> None:
        """Its pipe has ended: so shall it, whatever it does, and the supervisor says how."""
        worker = self._workers[number]
        worker.is_gone = True
        self.kill(number)
        if worker.end:
            self._forget(number)
        else:
            asyncio.get_running_loop().call_later(EVIDENCE_WAIT_S, self._forget, number)

    def _forget(self, number: int) -> None:
        worker = self._workers.pop(number, None)
        if worker is not None:
            os.close(worker.pidfd)
            self._on_lost(number, worker.end or f"worker (pid {worker.pid}) ended")


class NodeTasks:
    """The node's task queue and what is around it."""

    def __init__(
        self,
        options: ExecutorOptions,
        passed_pipes: socket.socket,
        *,
        workers: int,
        on_workers_wanted: Callable[[int], None],
        others: Callable[[], list[NodeId]],
        ask: Callable[[NodeId, WorkWanted], None],
    ) -> None:
        """Prepare.

        Args:
            options: of the queue.
            passed_pipes: brings the pipe of each new worker.
            workers: how many there are to be, while none of them waits.
            on_workers_wanted: called when there shall be another number of them.
            others: returns the other nodes that run tasks.
            ask: asks one of them for tasks that wait there.
        """
        self.queue = NodeQueue(options, time.monotonic, workers)
        self._on_workers_wanted = on_workers_wanted
        self._others = others
        self._ask = ask
        self._thief = Thief(Random())
        self.workers = WorkerLinks(
            passed_pipes,
            on_ready=lambda worker: self._perform(self.queue.worker_ready(worker)),
            on_message=self._on_message,
            on_lost=self._on_worker_lost,
        )
        self._room = ResultRoom()
        self._submitters: dict[Hashable, FrameStream] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_s = 0.0

    def start(self) -> None:
        """Begin to take workers."""
        self.workers.start()

    def handle(self, submitter: int, stream: FrameStream, request: TaskRequest) -> None:
        """Handle a task request of one session."""
        self._submitters[submitter] = stream
        if isinstance(request, RunTask):
            self._perform(self.queue.submit(submitter, request))
        elif isinstance(request, ShipCode):
            self.queue.keep(request.bundle)
        else:
            forced = request.is_forced
            self._perform(self.queue.cancel(submitter, request.task, is_forced=forced))

    def work_wanted(self, thief: NodeId, wanted: WorkWanted) -> None:
        """Another node has nothing to do."""
        self._perform(self.queue.give(thief, wanted.free))

    def workers_now(self) -> list[tuple[int, WorkerState]]:
        """Return pid and state of each worker."""
        return [(self.workers.pid_of(state.worker), state) for state in self.queue.workers()]

    def session_behind(self, submitter: int, is_behind: bool) -> None:
        """A submitter does not take what it is sent; or does again."""
        if is_behind:
            self._room.behind(submitter)
        else:
            self._let_send(self._room.caught_up(submitter))

    def session_lost(self, submitter: int) -> None:
        """A submitter is gone."""
        if self._submitters.pop(submitter, None) is not None:
            self.queue.submitter_gone(submitter)
        self._let_send(self._room.caught_up(submitter))

    def close(self) -> None:
        """End the workers' pipes."""
        if self._timer is not None:
            self._timer.cancel()
        self.workers.close()

    def _on_message(self, worker: int, message: FromWorker) -> None:
        match message:
            case WorkerResult():
                self._perform(self.queue.worker_result(worker, message))
                self._let_send(self._room.over(worker))
            case WorkerDone(number=number, result_bytes=result_bytes):
                submitter = self.queue.worker_done(worker, number)
                self._let_send(self._room.ask(worker, submitter, result_bytes))
            case WorkerWaiting():
                self._perform(self.queue.worker_waiting(worker, message))

    def _on_worker_lost(self, worker: int, end: str) -> None:
        self._perform(self.queue.worker_lost(worker, end))
        self._let_send(self._room.over(worker))

    def _let_send(self, workers: list[int]) -> None:
        for worker in workers:
            self.workers.send(worker, SendResult())

    def _perform(self, effects: list[QueueEffect]) -> None:
        for effect in effects:
            match effect:
                case StartOnWorker(worker=worker, task=task):
                    self.workers.send(worker, task)
                case GiveCode(worker=worker, message=code):
                    self.workers.send(worker, code)
                case EndWorker(worker=worker, reason=reason):
                    pid = self.workers.pid_of(worker)
                    logger.info(log_text(f"ending a worker: {ENDINGS[reason]}", pid=pid))
                    self.workers.kill(worker)
                case RetireWorker(worker=worker):
                    self.workers.retire(worker)
                case WantWorkers(count=count):
                    self._on_workers_wanted(count)
                case Answer(submitter=submitter, message=message):
                    stream = self._submitters.get(submitter)
                    if stream is not None:
                        stream.send(*pieces_of(message))
        self._thief.look(self.queue.idle_count, time.monotonic())
        self._set_timer()

    def _set_timer(self) -> None:
        """One timer for all: short tasks are over when it fires, and cost none of their own."""
        dues = [due for due in (self.queue.due_s(), self._thief.due_s()) if due is not None]
        due_s = min(dues, default=None)
        if due_s is None or (self._timer is not None and self._timer_s <= due_s):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_s = due_s
        delay_s = max(0.0, due_s - time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        for node_id in self._thief.ask(time.monotonic(), self._others):
            self._ask(node_id, WorkWanted(self.queue.idle_count))
        self._perform(self.queue.tick())
