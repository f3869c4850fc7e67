"""A submitter's tasks, from submit to result: at least once, and never lost.

Responsible for: keeping each task until its result is in hand, sending it when a node has a
slot, sending it again (attempt + 1) when its worker or node died, giving up after
as many deaths as it may cause, ignoring results of an attempt that is not the current one.

Not responsible for: futures, sockets and pickles (``client/tasks/executor.py``).

Who is blamed. A worker that dies is blamed on the task in it. A node that dies is blamed on the
tasks that were executing there, as far as the node had said so (`TaskStarted`); those that were
queued are sent elsewhere with a clean record, but not for ever (`NODE_LOSSES_MAX`).
A task that must not run twice ends with its node once it has been sent there.

Recalls. What waits on one node while another has nothing to do is asked back, the last one first,
if it would wait for long: behind a task that is known to run, or behind much work. The node gives
back only what has not started (`CancelTask`), so nothing runs twice by that. A node gives back
what an idle one has asked it for (`Outcome.GIVEN`): it is sent there.

Modules. A node that lacks a task's bundle is sent that, and then the task again (``bundles.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from random import Random

from grid.executor.bundles import EVICTIONS_MAX, Code, Shipments
from grid.executor.effects import Finished, SendToNode, Started, SubmissionEffect
from grid.executor.lanes import Lanes
from grid.executor.messages import CancelTask, Outcome, RunTask, TaskEnded, TaskStarted
from grid.executor.placement import NodeLoad, Policy, backlog_for, choose, smoothed
from grid.types import NodeId

LOCALITY_SEARCH = 64
"""How far into the pending tasks a freed node looks for one whose data it holds."""

NODE_LOSSES_MAX = 16
"""As many nodes may die under a task that was never seen to start; then it is given up."""

EVIDENCE_MAX = 16
"""Deaths that are described, at most, when a task is given up."""

RECALL_S = 0.05
"""A task that has to wait less than about this long is not asked back."""

MOVES_MAX = 4
"""So often a task moves from node to node at most: they shall not play with it for ever."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a task is to run.

    `preferred` is a node that shall run it, `is_pinned` says that no other may. It is started
    `attempts_max` times at most. `timeout_ms`: how long an attempt may run, 0 for any time.
    """

    preferred: NodeId | None = None
    is_pinned: bool = False
    attempts_max: int = 3
    timeout_ms: int = 0
    priority: int = 0


@dataclass(slots=True)
class _Task:
    number: int
    payload: bytes
    terms: Terms
    code: Code | None
    function: str = ""
    attempt: int = 0
    node_id: NodeId | None = None
    has_started: bool = False
    is_recalled: bool = False
    is_cancelled: bool = False
    is_killed: bool = False
    moves: int = 0
    shipment: int = 0
    evictions: int = 0
    node_losses: int = 0
    evidence: list[str] = field(default_factory=list)

    @property
    def is_movable(self) -> bool:
        """Whether it is worth asking its node to give it back."""
        is_free = not (self.has_started or self.is_recalled or self.terms.is_pinned)
        return is_free and self.moves < MOVES_MAX


class Submissions:
    """All unfinished tasks of one submitter."""

    def __init__(self, random: Random, policy: Policy = choose) -> None:
        """Start without tasks and nodes; `policy` chooses among those with a free slot."""
        self._random = random
        self._policy = policy
        self._nodes: dict[NodeId, NodeLoad] = {}
        self._names: dict[NodeId, str] = {}
        self._pending: Lanes[int, _Task] = Lanes()
        self._pinned: dict[NodeId, Lanes[int, _Task]] = {}
        self._in_flight: dict[int, _Task] = {}
        self._preferring_count = 0
        """How many of the pending ones have a node that they prefer."""
        self._shipments = Shipments()
        self._number = 0
        self._task_s: float | None = None
        self.retried_count = 0

    def unfinished(self) -> set[int]:
        """Return the numbers of all tasks without a result."""
        lanes = (self._pending, *self._pinned.values())
        return {*self._in_flight, *(task.number for lane in lanes for task in lane)}

    def submit(
        self, payload: bytes, terms: Terms, code: Code | None = None, function: str = ""
    ) -> tuple[int, list[SubmissionEffect]]:
        """Take over a task; return its number. It goes out as soon as a node has a slot.

        `code` is what it needs of modules, `function` what people see it called.
        """
        self._number += 1
        task = _Task(self._number, payload, terms, code, function)
        self._wait(task)
        return task.number, self._dispatch()

    def cancel(self, number: int, *, is_forced: bool = False) -> list[SubmissionEffect]:
        """Give a task up: at once if it has not been sent, else its node is asked to."""
        task = self._take(number)
        for lanes in self._pinned.values():
            task = task or lanes.remove(number)
        if task is not None:
            return [Finished(number, Outcome.CANCELLED, b"", None)]
        task = self._in_flight.get(number)
        if task is None or task.node_id is None:
            return []
        task.is_recalled = False  # Whatever it was asked back for: it is over now.
        task.is_cancelled = True
        task.is_killed = task.is_killed or is_forced
        return [SendToNode(task.node_id, CancelTask(number, is_forced))]

    # -- nodes ----------------------------------------------------------------------------

    def nodes_changed(
        self, loads: list[NodeLoad], names: dict[NodeId, str]
    ) -> list[SubmissionEffect]:
        """Take over the living nodes and their reported load; tasks of the missing go back."""
        effects: list[SubmissionEffect] = []
        self._names |= names
        present = {load.node_id for load in loads}
        for node_id in sorted((self._nodes.keys() | self._pinned.keys()) - present):
            effects += self._lose(node_id)
        for load in loads:
            known = self._nodes.setdefault(load.node_id, load)
            known.workers, known.reported, known.own_sends = load.workers, load.reported, 0
            known.free_share, known.is_full = load.free_share, False
        self._names = {n: name for n, name in self._names.items() if n in present}
        return [*effects, *self._dispatch(), *self._recall()]

    def node_lost(self, node_id: NodeId) -> list[SubmissionEffect]:
        """The connection to a node is gone, and every task sent there with it."""
        return [*self._lose(node_id), *self._dispatch()]

    def all_nodes_lost(self) -> list[SubmissionEffect]:
        """All connections are gone. Nothing is sent before the nodes are told again."""
        return [effect for node_id in sorted(self._nodes) for effect in self._lose(node_id)]

    # -- answers --------------------------------------------------------------------------

    def started(self, node_id: NodeId, message: TaskStarted) -> list[SubmissionEffect]:
        """A node says that an attempt is running."""
        task = self._in_flight.get(message.task)
        if task is None or task.attempt != message.attempt or task.node_id != node_id:
            return []
        self._nodes[node_id].own_started += not task.has_started
        task.has_started = True
        task.is_recalled = False
        task.is_cancelled = task.is_killed  # Else it was too late for that.
        return [Started(task.number, node_id), *self._recall()]

    def ended(self, node_id: NodeId, message: TaskEnded) -> list[SubmissionEffect]:
        """A node says how an attempt ended."""
        task = self._in_flight.get(message.task)
        if task is None or task.attempt != message.attempt or task.node_id != node_id:
            return []  # An attempt that was given up: the first result has won.
        del self._in_flight[message.task]
        node = self._nodes[node_id]
        node.own_in_flight -= 1
        node.own_started -= task.has_started
        node.own_sends = max(0, node.own_sends - 1)
        node.is_full = False
        effects: list[SubmissionEffect] = []
        match message.outcome:
            case Outcome.WORKER_DIED if task.is_killed:
                effects.append(Finished(task.number, Outcome.KILLED, b"", node_id))
            case Outcome.WORKER_DIED:
                how = bytes(message.payload).decode(errors="replace")
                effects += self._died(task, f"{how} on {self._names.get(node_id, '?')}")
            case Outcome.REFUSED_QUEUE_FULL | Outcome.GIVEN | Outcome.CODE_MISSING if (
                task.is_cancelled
            ):
                effects.append(Finished(task.number, Outcome.CANCELLED, b"", None))
            case Outcome.REFUSED_QUEUE_FULL:
                node.is_full = True  # Others fill it: until it reports, or ends something.
                task.attempt -= 1
                self._wait(task, at_front=True)
            case Outcome.CANCELLED if task.is_recalled:
                task.attempt -= 1
                self._wait(task, at_front=True)
            case Outcome.GIVEN:
                effects += self._given(task, NodeId(bytes(message.payload)))
            case Outcome.CODE_MISSING if task.code and task.evictions < EVICTIONS_MAX:
                effects += self._ship(task, task.code, node)
            case _:
                if message.outcome in (Outcome.RETURNED, Outcome.RAISED):
                    self._task_s = smoothed(self._task_s, message.ran_us / 1e6)
                effects.append(Finished(task.number, message.outcome, message.payload, node_id))
        return [*effects, *self._dispatch(), *self._recall()]

    def _given(self, task: _Task, thief: NodeId) -> list[SubmissionEffect]:
        """A node has given a task back, for another one that has asked for it."""
        task.attempt -= 1
        task.moves += 1
        self._wait(task, at_front=True)
        node = self._nodes.get(thief)
        if node is None:
            return []
        self._take(task.number)
        return [self._send(task, node)]

    def _ship(self, task: _Task, code: Code, node: NodeLoad) -> list[SubmissionEffect]:
        """Send a task again to the node that lacks its bundle, and that before, if it must be."""
        task.attempt -= 1
        task.is_recalled = False
        task.evictions += task.shipment > 0
        bundles = self._shipments.missing(node.node_id, code, task.shipment)
        return [*(SendToNode(node.node_id, bundle) for bundle in bundles), self._send(task, node)]

    # -- deaths ---------------------------------------------------------------------------

    def _lose(self, node_id: NodeId) -> list[SubmissionEffect]:
        self._nodes.pop(node_id, None)
        self._shipments.forget(node_id)
        effects: list[SubmissionEffect] = []
        name = self._names.get(node_id, "?")
        for task in [t for t in self._in_flight.values() if t.node_id == node_id]:
            del self._in_flight[task.number]
            task.node_losses += 1
            is_given_up = task.terms.is_pinned or task.terms.attempts_max == 1
            if task.is_killed:
                effects.append(Finished(task.number, Outcome.KILLED, b"", node_id))
            elif task.has_started or is_given_up or task.node_losses > NODE_LOSSES_MAX:
                effects += self._died(task, f"node {name} is gone", is_final=is_given_up)
            else:
                self._repeat(task)
        lanes = self._pinned.pop(node_id, None)
        for task in lanes or ():
            effects += self._died(task, f"node {name} is gone", is_final=True)
        return effects

    def _died(
        self, task: _Task, evidence: str, *, is_final: bool = False
    ) -> list[SubmissionEffect]:
        task.evidence.append(evidence)
        deaths = len(task.evidence)
        if is_final or deaths >= task.terms.attempts_max or task.node_losses > NODE_LOSSES_MAX:
            payload = "; ".join(task.evidence[-EVIDENCE_MAX:]).encode()
            return [Finished(task.number, Outcome.WORKER_DIED, payload, task.node_id, deaths)]
        self._repeat(task)
        return []

    def _repeat(self, task: _Task) -> None:
        self.retried_count += 1
        self._wait(task, at_front=True)

    # -- sending --------------------------------------------------------------------------

    def _wait(self, task: _Task, *, at_front: bool = False) -> None:
        task.has_started = task.is_recalled = False
        terms, lanes = task.terms, self._pending
        if terms.is_pinned and terms.preferred is not None:
            lanes = self._pinned.setdefault(terms.preferred, Lanes())
        else:
            self._preferring_count += terms.preferred is not None
        lanes.push(task.number, task, terms.priority, at_front=at_front)

    def _take(self, number: int) -> _Task | None:
        """Take a task that may run anywhere out of those that wait."""
        task = self._pending.remove(number)
        if task is not None:
            self._preferring_count -= task.terms.preferred is not None
        return task

    def _dispatch(self) -> list[SubmissionEffect]:
        effects: list[SubmissionEffect] = []
        for node_id, lanes in list(self._pinned.items()):
            if node_id not in self._nodes:
                continue  # It was there a moment ago: its tasks wait until it is found gone.
            node = self._nodes[node_id]
            while lanes and node.has_slot(backlog=backlog_for(self._task_s)):
                effects.append(self._send(lanes.pop(), node))
            if not lanes:
                del self._pinned[node_id]
        if not self._pending:
            return effects
        nodes = list(self._nodes.values())
        workers = sum(node.workers for node in nodes)
        backlog = backlog_for(self._task_s)
        while self._pending:
            is_plenty_pending = len(self._pending) > 2 * workers
            first = self._pending.first
            preferred = first.terms.preferred
            node_or_none = self._policy(
                nodes, preferred, self._random, backlog=backlog if is_plenty_pending else 0
            )
            if node_or_none is None:
                break
            task = self._local_task(node_or_none.node_id, first)
            self._take(task.number)
            effects.append(self._send(task, node_or_none))
        return effects

    def _send(self, task: _Task, node: NodeLoad) -> SendToNode:
        self._in_flight[task.number] = task
        task.attempt += 1
        task.node_id = node.node_id
        task.shipment = self._shipments.last(node.node_id, task.code)
        node.own_in_flight += 1
        node.own_sends += 1
        terms = task.terms
        return SendToNode(
            node.node_id,
            RunTask(
                task.number,
                task.attempt,
                terms.priority,
                terms.timeout_ms,
                may_move=not terms.is_pinned and task.moves < MOVES_MAX,
                code=b"" if task.code is None else task.code.digest,
                function=task.function,
                payload=task.payload,
            ),
        )

    def _recall(self) -> list[SubmissionEffect]:
        """Ask back what waits on one node and could start on another."""
        if self._pending or len(self._nodes) < 2:
            return []
        free = sum(max(0, node.workers - node.busy) for node in self._nodes.values())
        victims = [n for n in self._nodes.values() if n.own_in_flight > n.workers]
        if not free or not victims:
            return []
        victim = max(victims, key=lambda node: node.expected_wait)
        started = victim.own_started
        waiting_s = (self._task_s or 0.0) * victim.own_in_flight / max(victim.workers, 1)
        if not started and waiting_s < RECALL_S:
            return []  # Before looking at each: short tasks end often, and many are there.
        there = [t for t in self._in_flight.values() if t.node_id == victim.node_id]
        free -= sum(task.is_recalled for task in there)
        movable = [t for t in there if t.is_movable]
        chosen = movable[::-1][: max(0, min(free, len(there) - victim.workers))]
        for task in chosen:
            task.is_recalled = True
            task.moves += 1
        return [SendToNode(victim.node_id, CancelTask(task.number)) for task in chosen]

    def _local_task(self, node_id: NodeId, first: _Task) -> _Task:
        """Return an early pending task whose data lives on the node, else the first."""
        if not self._preferring_count or first.terms.preferred == node_id:
            return first
        early = islice(self._pending, LOCALITY_SEARCH)
        return next((task for task in early if task.terms.preferred == node_id), first)
