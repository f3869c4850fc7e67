"""The executor as a Python program sees it: a `concurrent.futures.Executor` over the cluster.

Responsible for: futures, pickling calls in the caller's thread, and one I/O thread that talks
to each node's network process.

Not responsible for: which node, attempts and retries (``executor/submissions.py``).
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from random import Random
from typing import Any, ParamSpec, TypeVar

from grid.client.calls import TASK_BYTES_MAX, dump_call, unpack
from grid.client.connections import Connections
from grid.client.core import Core
from grid.client.links import NodeLinks
from grid.errors import (
    ConnectError,
    GridError,
    TaskError,
    TaskQueueFullError,
    ValueTooLargeError,
)
from grid.executor.messages import Outcome
from grid.executor.options import ExecutorOptions
from grid.executor.placement import NodeLoad
from grid.executor.submissions import Finished, SendTask, SubmissionEffect, Submissions
from grid.types import NodeId
from grid.wire.control import View
from grid.wire.keys import encode_key

P = ParamSpec("P")
T = TypeVar("T")

UNFINISHED_MAX = 10_000
"""Tasks of one executor without a result; `submit` waits beyond it."""

VIEW_INTERVAL_S = 1.0
"""How often the nodes and their load are looked at."""

_KEY_BYTES_MAX = 1 << 20


class GridExecutor(Executor):
    """Runs calls on every core of every machine of the cluster.

    At least once: a task whose worker or node dies runs again elsewhere, up to
    ``executor.attempts_max`` times. Exceptions come back as themselves, with the remote
    traceback as a note.
    """

    def __init__(self, connections: Connections, core: Core, options: ExecutorOptions) -> None:
        """Use `Grid.executor` instead."""
        self._connections = connections
        self._core = core
        self._submissions = Submissions(options, Random())
        self._futures: dict[int, Future[Any]] = {}
        self._inbox: deque[tuple[int, bytes, NodeId | None]] = deque()
        self._slots = threading.BoundedSemaphore(UNFINISHED_MAX)
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._links = NodeLinks(connections, self._wake_reader)
        self._names: dict[NodeId, str] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_shut_down = False
        self._cancel_wanted = False
        self._is_abandoned = False
        self._pid = os.getpid()

    # -- the caller's side ----------------------------------------------------------------

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run ``fn(*args, **kwargs)`` on some node.

        Waits while `UNFINISHED_MAX` tasks are without a result.
        Raises: SerializationError; RuntimeError after `shutdown`.
        """
        return self._submit(dump_call(fn, args, kwargs), None)

    def submit_to(self, fn: Callable[..., T], /, *args: Any, key: object) -> Future[T]:
        """Run ``fn(*args)`` where `key`'s entries live if a worker is free there, else elsewhere.

        Raises: as `submit`.
        """
        partition_id, _ = encode_key(key, _KEY_BYTES_MAX)
        preferred = self._core.owner_of(partition_id)
        return self._submit(dump_call(fn, args, {}), preferred)

    @property
    def retried_count(self) -> int:
        """How often a task was sent again because its worker or node died."""
        return self._submissions.retried_count

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Accept nothing more; with `wait`, return when every future is done."""
        with self._lock:
            self._is_shut_down = True
            self._cancel_wanted = self._cancel_wanted or cancel_futures
            thread = self._thread
        self._wake()
        if wait and thread is not None and thread is not threading.current_thread():
            thread.join()

    def abandon(self) -> None:
        """Shut down without waiting: tasks that still run fail with a TaskError here."""
        with self._lock:
            self._is_abandoned = True
        self.shutdown(wait=True, cancel_futures=True)

    def _submit(self, payload: bytes, preferred: NodeId | None) -> Future[Any]:
        if len(payload) > TASK_BYTES_MAX:
            raise ValueTooLargeError(
                f"the call takes {len(payload):,} bytes; at most {TASK_BYTES_MAX:,} are allowed: "
                "put large data into a map and pass its key"
            )
        if os.getpid() != self._pid:
            raise RuntimeError("an executor does not survive a fork; make a new one in the child")
        if threading.current_thread() is self._thread:
            # A done-callback submits: waiting here would wait for ourselves.
            if not self._slots.acquire(blocking=False):
                raise TaskQueueFullError(f"{UNFINISHED_MAX} tasks are unfinished")
        else:
            self._slots.acquire()
        future: Future[Any] = Future()
        with self._lock:
            if self._is_shut_down:
                self._slots.release()
                raise RuntimeError("cannot schedule new futures after shutdown")
            number = self._submissions.next_number()
            self._futures[number] = future
            self._inbox.append((number, payload, preferred))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="grid-executor", daemon=True)
                self._thread.start()
        self._wake()
        return future

    def _wake(self) -> None:
        try:
            self._wake_writer.send(b"\0")
        except (BlockingIOError, OSError):
            return  # It has been woken, or is gone.

    # -- the I/O thread -------------------------------------------------------------------

    def _run(self) -> None:
        """Runs in: the executor's I/O thread, until shut down and everything is answered."""
        next_view_s = 0.0
        no_node_since_s: float | None = None
        try:
            while not self._is_finished():
                if self._is_abandoned:
                    raise TaskError("the client was closed while the task ran")
                now_s = time.monotonic()
                if now_s >= next_view_s:
                    has_nodes = self._look_around()
                    next_view_s = now_s + VIEW_INTERVAL_S
                    no_node_since_s = None if has_nodes else (no_node_since_s or now_s)
                    deadline_s = self._connections.options.operation_deadline_s
                    if no_node_since_s is not None and now_s > no_node_since_s + deadline_s:
                        raise ConnectError(f"no node has been reachable for {deadline_s:g} s")
                self._take_inbox()
                for event in self._links.wait(max(0.0, next_view_s - time.monotonic())):
                    if event.message is None:
                        self._perform(self._submissions.node_lost(event.node_id))
                        next_view_s = 0.0
                    else:
                        self._perform(self._submissions.ended(event.node_id, event.message))
        except Exception as error:  # Whatever it is, no future may wait for ever.
            self._fail_all(error)
        finally:
            self._links.close()
            self._wake_reader.close()
            self._wake_writer.close()

    def _is_finished(self) -> bool:
        dropped: list[Future[Any]] = []
        with self._lock:
            if self._cancel_wanted:
                self._inbox.clear()
                for number, future in list(self._futures.items()):
                    if self._submissions.cancel(number) or not future.running():
                        dropped.append(self._futures.pop(number))
        for future in dropped:  # Without the lock: callbacks may submit.
            self._drop(future)
        with self._lock:
            return self._is_shut_down and not self._futures

    def _drop(self, future: Future[Any]) -> None:
        self._slots.release()
        if future.cancel():
            future.set_running_or_notify_cancel()  # Tells those who wait for it.
        else:  # It ran, lost its worker, and was waiting to run again.
            future.set_exception(TaskError("shut down before the task could run again"))

    def _look_around(self) -> bool:
        """Fetch the nodes and their load; return whether any can run tasks."""
        try:
            view = self._connections.view()
        except ConnectError:
            return False
        self._names = {NodeId(node.id): node.name for node in view.nodes}
        return self._use_view(view)

    def _use_view(self, view: View) -> bool:
        loads = []
        for node in view.nodes:
            node_id = NodeId(node.id)
            if node.workers and self._links.open(node):
                busy = node.tasks_queued + node.tasks_running
                loads.append(NodeLoad(node_id, node.workers, reported=busy))
        self._perform(self._submissions.nodes_changed(loads))
        return bool(loads)

    def _take_inbox(self) -> None:
        while self._inbox:
            number, payload, preferred = self._inbox.popleft()
            future = self._futures.get(number)
            if future is not None:
                self._perform(self._submissions.submit(number, payload, preferred))

    def _perform(self, effects: list[SubmissionEffect]) -> None:
        queue = deque(effects)
        while queue:
            effect = queue.popleft()
            if isinstance(effect, Finished):
                self._finish(effect)
                continue
            queue.extend(self._send(effect))

    def _send(self, effect: SendTask) -> list[SubmissionEffect]:
        message = effect.message
        future = self._futures.get(message.task)
        is_first = message.attempt == 1
        if future is None or (is_first and not future.set_running_or_notify_cancel()):
            # Cancelled while it waited: its slot goes to the next one.
            if self._futures.pop(message.task, None) is not None:
                self._slots.release()
            return self._submissions.withdrawn(message.task)
        if self._links.send(effect.node_id, message):
            return []
        return self._submissions.node_lost(effect.node_id)

    def _finish(self, finished: Finished) -> None:
        with self._lock:
            future = self._futures.pop(finished.task, None)
        if future is None:
            return
        self._slots.release()
        if finished.outcome is Outcome.CANCELLED:
            future.set_exception(TaskError("the node dropped the task"))
            return
        node_id = finished.node_id
        name = self._names.get(node_id, "?") if node_id is not None else "?"
        try:
            result = unpack(finished.outcome, finished.payload, name)
        except BaseException as error:  # The task's own exception, of whatever kind.
            future.set_exception(error)
        else:
            future.set_result(result)

    def _fail_all(self, error: Exception) -> None:
        with self._lock:
            self._is_shut_down = True
            futures, self._futures = self._futures, {}
        reason = error if isinstance(error, GridError) else TaskError(f"executor failed: {error!r}")
        for future in futures.values():
            if future.running() or future.set_running_or_notify_cancel():
                future.set_exception(reason)
            self._slots.release()
