"""Placement and stealing at work: many submitters, many nodes, old reports, on virtual time.

The shipped cores (`Submissions`, `NodeQueue`, `Thief`) with tasks that arrive at random and take
random times; what is measured is how long each takes from submit to result. All times count
service times: 1.0 is what a task takes on average in a worker, were it alone.

Not here: deaths of workers and nodes (unit tests of the cores, and real processes).
"""

from __future__ import annotations

import statistics
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from grid.executor.effects import (
    Answer,
    Finished,
    QueueEffect,
    SendToNode,
    StartOnWorker,
    SubmissionEffect,
)
from grid.executor.messages import (
    CancelTask,
    Outcome,
    RunTask,
    TaskEnded,
    TaskReply,
    TaskRequest,
    WorkerResult,
)
from grid.executor.options import ExecutorOptions
from grid.executor.placement import NodeLoad, Policy, choose
from grid.executor.queue import NodeQueue
from grid.executor.stealing import Thief
from grid.executor.submissions import Submissions, Terms
from grid.simulation.clock import Clock
from grid.types import NODE_ID_BYTES, NodeId

_SERVICE = struct.Struct("d")


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens in a trial.

    `task_s` is the average time of a task, `report_s` the age that reports reach, `delay_s` the
    way of a message. `load` is the share of all workers that is busy on average. Of `tasks`,
    the first tenth is not counted. With `is_fresh`, submitters know every queue at every moment.
    """

    nodes: int = 10
    workers: int = 4
    submitters: int = 10
    load: float = 0.8
    task_s: float = 0.05
    report_s: float = 0.5
    delay_s: float = 0.0002
    tasks: int = 40_000
    steals: bool = True
    is_fresh: bool = False


@dataclass(frozen=True, slots=True)
class ResponseTimes:
    """How long tasks took from submit to result, in service times."""

    mean: float
    p99: float
    moved: int


class _Node:
    """A node: its queue, its workers as timers, and its thief."""

    def __init__(self, trial: PlacementTrial, number: int) -> None:
        self.id = NodeId(number.to_bytes(NODE_ID_BYTES, "big"))
        self.queue = NodeQueue(ExecutorOptions(), lambda: trial.clock.now_s, trial.plan.workers)
        self.thief = Thief(Random(f"{trial.seed} thief {number}"))
        self._trial = trial
        self._ticks_at_s = self._asks_at_s = -1.0
        for worker in range(trial.plan.workers):
            self.perform(self.queue.worker_ready(worker))

    def receive(self, submitter: int, message: TaskRequest) -> None:
        if isinstance(message, RunTask):
            self.perform(self.queue.submit(submitter, message))
        elif isinstance(message, CancelTask):
            self.perform(self.queue.cancel(submitter, message.task))

    def asked(self, thief: NodeId, free: int) -> None:
        self.perform(self.queue.give(thief, free))

    def perform(self, effects: list[QueueEffect]) -> None:
        clock = self._trial.clock
        for effect in effects:
            if isinstance(effect, StartOnWorker):
                (service_s,) = _SERVICE.unpack(effect.task.payload)
                clock.call_later(service_s, self._done, effect.worker, effect.task.number)
            elif isinstance(effect, Answer):
                self._trial.to_submitter(self.id, effect)
        self._set_timers()

    def _done(self, worker: int, number: int) -> None:
        self.perform(self.queue.worker_result(worker, WorkerResult(number, Outcome.RETURNED, b"")))

    def _set_timers(self) -> None:
        clock = self._trial.clock
        due_s = self.queue.due_s()
        if due_s is not None and self._ticks_at_s < clock.now_s:
            self._ticks_at_s = due_s
            clock.call_later(due_s - clock.now_s, self._tick)
        if not self._trial.plan.steals:
            return
        self.thief.look(self.queue.idle_count, clock.now_s)
        due_s = self.thief.due_s()
        if due_s is not None and self._asks_at_s < clock.now_s:
            self._asks_at_s = due_s
            clock.call_later(due_s - clock.now_s, self._ask)

    def _tick(self) -> None:
        self.perform(self.queue.tick())

    def _ask(self) -> None:
        others = [node.id for node in self._trial.nodes.values() if node is not self]
        for other in self.thief.ask(self._trial.clock.now_s, lambda: others):
            self._trial.ask(self.id, other, self.queue.idle_count)
        self._set_timers()


class PlacementTrial:
    """One run; `run` returns what was measured."""

    def __init__(self, plan: Plan, seed: int, policy: Policy = choose) -> None:
        """Prepare nodes and submitters; `policy` chooses nodes."""
        self.plan = plan
        self.seed = seed
        self.clock = Clock()
        self._random = Random(f"{seed} tasks")
        self.nodes: dict[NodeId, _Node] = {}
        for number in range(plan.nodes):
            node = _Node(self, number)
            self.nodes[node.id] = node
        self._submitters = [
            Submissions(Random(f"{seed} submitter {number}"), policy)
            for number in range(plan.submitters)
        ]
        self._submitted_s: dict[tuple[int, int], float] = {}
        self._responses_s: list[float] = []
        self._moved = 0

    def run(self) -> ResponseTimes:
        """Run all tasks to their end.

        Raises: AssertionError when a task gets no result.
        """
        self._report()
        self._arrive(0)
        limit_s = 100 * self.plan.task_s * self.plan.tasks
        is_over = self.clock.run_until_true(
            lambda: len(self._responses_s) == self.plan.tasks, limit_s
        )
        assert is_over, f"{self.plan.tasks - len(self._responses_s)} tasks have no result"
        counted = sorted(self._responses_s[self.plan.tasks // 10 :])
        scale = self.plan.task_s
        p99 = counted[int(len(counted) * 0.99)] / scale
        return ResponseTimes(statistics.fmean(counted) / scale, p99, self._moved)

    # -- the world ------------------------------------------------------------------------

    def to_submitter(self, sender: NodeId, answer: Answer) -> None:
        """Deliver an answer after its way."""
        assert isinstance(answer.submitter, int)
        self.clock.call_later(
            self.plan.delay_s, self._answered, answer.submitter, sender, answer.message
        )

    def ask(self, thief: NodeId, victim: NodeId, free: int) -> None:
        """Deliver a question for work after its way."""
        self.clock.call_later(self.plan.delay_s, self.nodes[victim].asked, thief, free)

    def _arrive(self, number: int) -> None:
        plan = self.plan
        submitter = self._random.randrange(plan.submitters)
        if plan.is_fresh:
            self._tell(submitter)
        payload = _SERVICE.pack(self._random.expovariate(1 / plan.task_s))
        task, effects = self._submitters[submitter].submit(payload, Terms())
        self._submitted_s[submitter, task] = self.clock.now_s
        self._send(submitter, effects)
        if number + 1 < plan.tasks:
            rate = plan.load * plan.nodes * plan.workers / plan.task_s
            self.clock.call_later(self._random.expovariate(rate), self._arrive, number + 1)

    def _report(self) -> None:
        for submitter in range(self.plan.submitters):
            self._tell(submitter)
        self.clock.call_later(self.plan.report_s, self._report)

    def _tell(self, submitter: int) -> None:
        loads = [
            NodeLoad(
                node.id,
                self.plan.workers,
                reported=node.queue.queued_count + node.queue.running_count,
            )
            for node in self.nodes.values()
        ]
        names = {load.node_id: "" for load in loads}
        self._send(submitter, self._submitters[submitter].nodes_changed(loads, names))

    def _answered(self, submitter: int, sender: NodeId, message: TaskReply) -> None:
        core = self._submitters[submitter]
        if isinstance(message, TaskEnded):
            self._moved += message.outcome is Outcome.GIVEN
            self._send(submitter, core.ended(sender, message))
        else:
            self._send(submitter, core.started(sender, message))

    def _send(self, submitter: int, effects: Sequence[SubmissionEffect]) -> None:
        for effect in effects:
            if isinstance(effect, SendToNode):
                node = self.nodes[effect.node_id]
                self.clock.call_later(self.plan.delay_s, node.receive, submitter, effect.message)
            elif isinstance(effect, Finished):
                started_s = self._submitted_s.pop((submitter, effect.task))
                self._responses_s.append(self.clock.now_s - started_s)
