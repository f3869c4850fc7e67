"""An executor's I/O thread: its tasks and futures, and the links to the nodes that run them.

Responsible for: completing each future exactly once, whatever happens; watching which nodes there
are; the bound on unfinished tasks.

Not responsible for: which node, attempts and retries (``executor/submissions.py``), sockets
(``links.py``), what a task is (``executor.py``).

Threads. `submit` and `cancel` are called by any thread; one lock guards tasks and links. Futures
are completed without it, since their callbacks may submit. A task that finds its executor idle is
sent by the caller's own thread: that saves waking another one.

Ctrl-C. A KeyboardInterrupt may end a caller between any two steps: part of a frame is sent and
not counted, or a task is noted as sent and is not. The thread then gives up all links and takes
what was sent for lost with its node; so nothing is waited for that does not come.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from random import Random
from typing import Any

from grid.client.code.calls import PickledCall, unpack
from grid.client.requests.connections import Connections
from grid.client.tasks.budget import Budget
from grid.client.tasks.futures import TaskFuture
from grid.client.tasks.links import LinkEvent, NodeLinks
from grid.client.tasks.waiting import LOOK_INTERVAL_S, Waiting, Watch
from grid.errors import ConnectError, GridError, TaskError, TaskQueueFullError
from grid.executor.effects import Finished, SendToNode, Started, SubmissionEffect
from grid.executor.messages import Outcome, TaskStarted
from grid.executor.placement import NodeLoad
from grid.executor.submissions import Submissions, Terms
from grid.types import NodeId
from grid.wire.control import View

VIEW_INTERVAL_S = 1.0
"""How often the nodes and their load are looked at."""

CANCEL_WAIT_S = 1.0
"""How long a caller of `cancel` waits for the word of the node."""

Completion = Callable[[], None]


class TaskThread:
    """Tasks from submit to result, for one executor."""

    def __init__(
        self, connections: Connections, *, waits_when_full: bool, waiting: Waiting | None = None
    ) -> None:
        """Start without tasks; the thread begins with the first one.

        Args:
            connections: to the cluster.
            waits_when_full: at the bound, `submit` waits; else it raises TaskQueueFullError.
            waiting: in a worker, is told whether the task that submits waits.
        """
        self._watch = None if waiting is None else Watch(waiting)
        self._connections = connections
        self._waits_when_full = waits_when_full
        self._submissions = Submissions(Random())
        self._futures: dict[int, TaskFuture[Any]] = {}
        self._budget = Budget()
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._links = NodeLinks(connections, self._wake_reader)
        self._names: dict[NodeId, str] = {}
        self._lock = threading.RLock()
        self._answered = threading.Condition(self._lock)
        """Something has been heard that a caller of `cancel` may wait for."""
        self._thread: threading.Thread | None = None
        self._lost: list[NodeId] = []
        """Nodes to which nothing could be sent; the thread sees to their tasks."""
        self._is_woken = False
        self._is_interrupted = False
        """A caller was, in the middle of something."""
        self._is_shut_down = False
        self._is_abandoned = False
        self._pid = os.getpid()

    # -- callers --------------------------------------------------------------------------

    @property
    def retried_count(self) -> int:
        """How often a task was sent again because its worker or node died."""
        return self._submissions.retried_count

    def submit(self, call: PickledCall, terms: Terms) -> TaskFuture[Any]:
        """Take over a task.

        Raises: RuntimeError after `shutdown` or a fork; TaskQueueFullError.
        """
        if os.getpid() != self._pid:
            raise RuntimeError("an executor does not survive a fork; make a new one in the child")
        # A callback of a future runs in the thread itself: waiting there would wait for ourselves.
        may_wait = self._waits_when_full and threading.current_thread() is not self._thread
        call_bytes = len(call.payload)
        if not self._budget.take(call_bytes, waits=may_wait):
            raise TaskQueueFullError(f"{len(self._futures):,} tasks are unfinished")
        future: TaskFuture[Any] = TaskFuture(self._cancel, call_bytes)
        with self._lock:
            if self._is_shut_down:
                self._budget.give_back(call_bytes)
                raise RuntimeError("cannot schedule new futures after shutdown")
            try:
                self._take_over(future, call, terms)
            except BaseException:
                self._be_interrupted()
                if future.number not in self._futures:
                    self._budget.give_back(call_bytes)
                raise
        return future

    def _take_over(self, future: TaskFuture[Any], call: PickledCall, terms: Terms) -> None:
        future.number, effects = self._submissions.submit(
            call.payload, terms, call.code, call.function
        )
        self._futures[future.number] = future
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="grid-executor", daemon=True)
            self._thread.start()
        self._send_all(effects, is_alone=len(self._futures) == 1)
        if self._watch is not None:
            self._wake()  # The thread has to look at the caller from now on.

    def names(self) -> dict[NodeId, str]:
        """Return the nodes that can run tasks now, and their names.

        Raises: ConnectError.
        """
        return {NodeId(n.id): n.name for n in self._connections.view().nodes if n.workers}

    def worker_count(self) -> int:
        """Return how many workers there are now, 1 at least.

        Raises: ConnectError.
        """
        return max(1, sum(node.workers for node in self._connections.view().nodes))

    @property
    def is_over(self) -> bool:
        """Whether nothing will ever happen here again."""
        return self._is_shut_down and (self._thread is None or not self._thread.is_alive())

    def shutdown(self, *, waits: bool, cancels: bool) -> None:
        """Accept nothing more; `cancels`: drop what has not started; `waits`: until all is done."""
        completions: list[Completion] = []
        with self._lock:
            self._is_shut_down = True
            if cancels:
                for number in list(self._futures):
                    completions += self._apply(self._submissions.cancel(number))
            thread = self._thread
            self._wake()
        _carry_out(completions)
        if waits and thread is not None and thread is not threading.current_thread():
            thread.join()

    def abandon(self) -> None:
        """Shut down without waiting: tasks that still run fail with a TaskError here."""
        with self._lock:
            self._is_abandoned = True
        self.shutdown(waits=True, cancels=True)

    def _cancel(self, future: TaskFuture[Any], is_forced: bool, waits: bool) -> None:
        """Ask for the end of a task; `waits`: and for the answer, except in a callback."""
        with self._lock:
            if self._futures.get(future.number) is not future:
                return
            try:
                effects = self._submissions.cancel(future.number, is_forced=is_forced)
                is_asked = any(isinstance(effect, SendToNode) for effect in effects)
                completions = self._apply(effects)
            except BaseException:
                self._be_interrupted()
                raise
            if is_asked and waits and threading.current_thread() is not self._thread:
                self._answered.wait_for(
                    lambda: future.done() or (future.running() and not is_forced), CANCEL_WAIT_S
                )
        _carry_out(completions)

    # -- both sides, with the lock --------------------------------------------------------

    def _apply(self, effects: list[SubmissionEffect]) -> list[Completion]:
        """Send what is to be sent; return what is to be done without the lock."""
        completions: list[Completion] = []
        for effect in effects:
            match effect:
                case Finished():
                    future = self._futures.pop(effect.task, None)
                    if future is not None:
                        completions.append(self._completion(future, effect))
                case Started(task=task, node_id=node_id):
                    future = self._futures.get(task)
                    if future is not None:
                        future.become_running(self._names.get(node_id, "?"))
        self._send_all(effects, is_alone=False)
        return completions

    def _send_all(self, effects: list[SubmissionEffect], *, is_alone: bool) -> None:
        """Pass messages to the links; `is_alone`: and to their sockets, else the thread does so."""
        has_sent = False
        for effect in effects:
            if isinstance(effect, SendToNode):
                has_sent = True
                if not self._links.put(effect.node_id, effect.message):
                    self._lost.append(effect.node_id)
        if self._lost or (has_sent and not (is_alone and self._links.flush())):
            self._wake()

    def _wake(self) -> None:
        if self._is_woken or threading.current_thread() is self._thread:
            return
        self._is_woken = True
        try:
            self._wake_writer.send(b"\0")
        except OSError:
            return  # The thread has ended.

    def _be_interrupted(self) -> None:
        """Have the thread see to what a caller has left half done."""
        self._is_interrupted = True
        self._is_woken = False  # That may have been noted, and not be done.
        self._wake()

    def _completion(self, future: TaskFuture[Any], finished: Finished) -> Completion:
        node_id = finished.node_id
        # Of a node that is gone, only what was known while it ran is left.
        name = self._names.get(node_id, future.node) if node_id is not None else None

        def complete() -> None:
            self._budget.give_back(future.call_bytes)
            future.node = name
            if finished.outcome is Outcome.CANCELLED:
                future.become_cancelled()
            elif finished.outcome is Outcome.KILLED:
                future.become_killed()
            else:
                _settle(future, finished, name or "?")
            with self._lock:
                self._answered.notify_all()

        return complete

    # -- the thread -----------------------------------------------------------------------

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
                timeout_s = max(0.0, next_view_s - time.monotonic())
                if self._watch is not None:
                    self._watch.look(has_unfinished=bool(self._futures))
                    if self._futures:
                        timeout_s = min(timeout_s, LOOK_INTERVAL_S)
                if self._handle(self._links.wait(timeout_s)):
                    next_view_s = 0.0
        except Exception as error:  # Whatever it is, no future may wait for ever.
            self._fail_all(error)
        finally:
            if self._watch is not None:
                self._watch.look(has_unfinished=False)
            with self._lock:
                self._links.close()
                self._wake_reader.close()
                self._wake_writer.close()

    def _is_finished(self) -> bool:
        with self._lock:
            return self._is_shut_down and not self._futures

    def _handle(self, ready: list[tuple[Any, int]]) -> bool:
        """Handle what has happened; return whether a node was lost."""
        completions: list[Completion] = []
        with self._lock:
            self._is_woken = False
            lost, self._lost = self._lost, []
            events = [LinkEvent(node_id, None) for node_id in lost]
            events += self._links.receive(ready)
            has_started = False
            for event in events:
                if event.message is None:
                    effects = self._submissions.node_lost(event.node_id)
                elif isinstance(event.message, TaskStarted):
                    effects = self._submissions.started(event.node_id, event.message)
                    has_started = True
                else:
                    effects = self._submissions.ended(event.node_id, event.message)
                completions += self._apply(effects)
            was_interrupted = self._is_interrupted
            if was_interrupted:
                completions += self._begin_anew()
            self._links.flush()
            if has_started:
                self._answered.notify_all()
        _carry_out(completions)
        return was_interrupted or any(event.message is None for event in events)

    def _begin_anew(self) -> list[Completion]:
        """After an interruption: part with all nodes, and with tasks that nobody has any more."""
        self._is_interrupted = False
        self._links.drop_all()
        completions = self._apply(self._submissions.all_nodes_lost())
        forgotten = self._futures.keys() - self._submissions.unfinished()
        return completions + self._apply(
            [Finished(number, Outcome.CANCELLED, b"", None) for number in sorted(forgotten)]
        )

    def _look_around(self) -> bool:
        """Fetch the nodes and their load; return whether any can run tasks."""
        try:
            view = self._connections.view()
        except ConnectError:
            return False
        opened = self._links.open_all(view.nodes, self._lock)
        with self._lock:
            self._names |= {NodeId(node.id): node.name for node in view.nodes}
            completions = self._use_view(view, opened)
            self._links.flush()
        _carry_out(completions)
        return bool(opened)

    def _use_view(self, view: View, opened: set[NodeId]) -> list[Completion]:
        loads = []
        for node in view.nodes:
            if node.id in opened:
                busy = node.tasks_queued + node.tasks_running
                load = NodeLoad(NodeId(node.id), node.workers, reported=busy)
                load.free_share = node.free_share
                loads.append(load)
        present = {load.node_id for load in loads}
        self._names = {n: name for n, name in self._names.items() if n in present}
        return self._apply(self._submissions.nodes_changed(loads, dict(self._names)))

    def _fail_all(self, error: Exception) -> None:
        with self._lock:
            self._is_shut_down = True
            futures, self._futures = self._futures, {}
        reason = error if isinstance(error, GridError) else TaskError(f"executor failed: {error!r}")
        for future in futures.values():
            self._budget.give_back(future.call_bytes)
            future.become_failed(reason)
        with self._lock:
            self._answered.notify_all()


def _carry_out(completions: list[Completion]) -> None:
    for complete in completions:
        complete()


def _settle(future: TaskFuture[Any], finished: Finished, node: str) -> None:
    """Complete a future by what its worker wrote, or by what became of that."""
    try:
        result = unpack(finished, node)
    except BaseException as error:  # The task's own exception, of whatever kind.
        future.become_failed(error)
    else:
        future.become_done(result)
