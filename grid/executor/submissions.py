"""A submitter's tasks, from submit to result: at least once, and never lost.

Responsible for: keeping each task until its result is in hand, sending it when a node has a
slot, sending it again (attempt + 1) when its worker or node died, giving up after
`attempts_max` deaths, ignoring results of an attempt that is not the current one.

Not responsible for: futures, sockets and pickles (``client/executor.py``).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from random import Random

from grid.executor.messages import Outcome, RunTask, TaskEnded
from grid.executor.options import ExecutorOptions
from grid.executor.placement import NodeLoad, choose
from grid.types import NodeId

LOCALITY_SEARCH = 64
"""How far into the pending tasks a freed node looks for one whose data it holds."""


@dataclass(frozen=True, slots=True)
class SendTask:
    """Effect: send to this node."""

    node_id: NodeId
    message: RunTask


@dataclass(frozen=True, slots=True)
class Finished:
    """Effect: the task is over; RETURNED and RAISED carry the worker's payload."""

    task: int
    outcome: Outcome
    payload: bytes
    node_id: NodeId | None


SubmissionEffect = SendTask | Finished


@dataclass(slots=True)
class _Task:
    number: int
    payload: bytes
    preferred: NodeId | None
    attempt: int = 0
    deaths: int = 0
    node_id: NodeId | None = None


class Submissions:
    """All unfinished tasks of one submitter."""

    def __init__(self, options: ExecutorOptions, random: Random) -> None:
        """Start without tasks and nodes."""
        self._options = options
        self._random = random
        self._nodes: dict[NodeId, NodeLoad] = {}
        self._pending: OrderedDict[int, _Task] = OrderedDict()
        self._in_flight: dict[int, _Task] = {}
        self._number = 0
        self.retried_count = 0

    @property
    def unfinished_count(self) -> int:
        """Tasks without a result."""
        return len(self._pending) + len(self._in_flight)

    def node_of(self, task: int) -> NodeId | None:
        """Return where an unfinished task was sent, if anywhere."""
        running = self._in_flight.get(task)
        return None if running is None else running.node_id

    def next_number(self) -> int:
        """Reserve the number of the next task."""
        self._number += 1
        return self._number

    def submit(
        self, number: int, payload: bytes, preferred: NodeId | None = None
    ) -> list[SubmissionEffect]:
        """Take over a task; it goes out as soon as a node has a slot."""
        self._pending[number] = _Task(number, payload, preferred)
        return self._dispatch()

    def cancel(self, number: int) -> bool:
        """Forget a task that has not been sent; False when it is on its way already."""
        return self._pending.pop(number, None) is not None

    def withdrawn(self, number: int) -> list[SubmissionEffect]:
        """A task chosen for sending was not sent after all (cancelled): free its slot."""
        task = self._in_flight.pop(number, None)
        if task is None or task.node_id is None:
            return []
        node = self._nodes.get(task.node_id)
        if node is not None:
            node.own_in_flight -= 1
            node.own_sends = max(0, node.own_sends - 1)
        return self._dispatch()

    def nodes_changed(self, loads: list[NodeLoad]) -> list[SubmissionEffect]:
        """Take over the living nodes and their reported load; tasks of the missing go back."""
        effects: list[SubmissionEffect] = []
        present = {load.node_id for load in loads}
        for node_id in [n for n in self._nodes if n not in present]:
            effects += self._requeue(node_id)
            del self._nodes[node_id]
        for load in loads:
            known = self._nodes.setdefault(load.node_id, load)
            known.workers, known.reported, known.own_sends = load.workers, load.reported, 0
        return [*effects, *self._dispatch()]

    def node_lost(self, node_id: NodeId) -> list[SubmissionEffect]:
        """The connection to a node is gone, and every task sent there with it."""
        effects = self._requeue(node_id)
        self._nodes.pop(node_id, None)
        return [*effects, *self._dispatch()]

    def ended(self, node_id: NodeId, message: TaskEnded) -> list[SubmissionEffect]:
        """A node says how an attempt ended."""
        task = self._in_flight.get(message.task)
        if task is None or task.attempt != message.attempt or task.node_id != node_id:
            return []  # An attempt that was given up: the first result has won.
        del self._in_flight[message.task]
        self._nodes[node_id].own_in_flight -= 1
        effects: list[SubmissionEffect] = []
        if message.outcome is Outcome.WORKER_DIED:
            effects += self._died(task)
        elif message.outcome is Outcome.REFUSED_QUEUE_FULL:
            # Others fill that node; it says so in its next report as well.
            self._nodes[node_id].reported += self._nodes[node_id].workers
            self._pending[task.number] = task
        else:
            effects.append(Finished(task.number, message.outcome, message.payload, node_id))
        return [*effects, *self._dispatch()]

    def _requeue(self, node_id: NodeId) -> list[SubmissionEffect]:
        effects: list[SubmissionEffect] = []
        for task in [t for t in self._in_flight.values() if t.node_id == node_id]:
            del self._in_flight[task.number]
            effects += self._died(task)
        return effects

    def _died(self, task: _Task) -> list[SubmissionEffect]:
        task.deaths += 1
        if task.deaths >= self._options.attempts_max:
            return [Finished(task.number, Outcome.WORKER_DIED, b"", task.node_id)]
        self.retried_count += 1
        self._pending[task.number] = task
        self._pending.move_to_end(task.number, last=False)
        return []

    def _dispatch(self) -> list[SubmissionEffect]:
        effects: list[SubmissionEffect] = []
        nodes = list(self._nodes.values())
        workers = sum(node.workers for node in nodes)
        while self._pending:
            is_plenty_pending = len(self._pending) > 2 * workers
            first = next(iter(self._pending.values()))
            node = choose(nodes, first.preferred, self._random, is_plenty_pending=is_plenty_pending)
            if node is None:
                break
            task = self._local_task(node.node_id) or first
            del self._pending[task.number]
            self._in_flight[task.number] = task
            task.attempt += 1
            task.node_id = node.node_id
            node.own_in_flight += 1
            node.own_sends += 1
            effects.append(SendTask(node.node_id, RunTask(task.number, task.attempt, task.payload)))
        return effects

    def _local_task(self, node_id: NodeId) -> _Task | None:
        """Return an early pending task whose data lives on the node."""
        for position, task in enumerate(self._pending.values()):
            if task.preferred == node_id:
                return task
            if position + 1 >= LOCALITY_SEARCH:
                break
        return None
