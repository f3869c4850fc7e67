"""What the cores of tasks want done: a submitter's, and that of a node's queue.

Not here: when (``submissions.py``, ``queue.py``).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from grid.executor.messages import Outcome, TaskReply, TaskRequest, WorkerCode, WorkerTask
from grid.types import NodeId, Payload

# -- of a submitter -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendToNode:
    """Effect: send to this node."""

    node_id: NodeId
    message: TaskRequest


@dataclass(frozen=True, slots=True)
class Started:
    """Effect: the task is known to be running there."""

    task: int
    node_id: NodeId


@dataclass(frozen=True, slots=True)
class Finished:
    """Effect: the task is over.

    RETURNED and RAISED carry the worker's payload, WORKER_DIED how workers and nodes ended.
    """

    task: int
    outcome: Outcome
    payload: Payload
    node_id: NodeId | None
    deaths: int = 0


SubmissionEffect = SendToNode | Started | Finished


# -- of a node's queue --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartOnWorker:
    """Effect: send `task` to a worker, which is busy from now on."""

    worker: int
    task: WorkerTask


@dataclass(frozen=True, slots=True)
class GiveCode:
    """Effect: send a worker the bundle of the task that it is about to get."""

    worker: int
    message: WorkerCode


@dataclass(frozen=True, slots=True)
class EndWorker:
    """Effect: kill this worker, for that `reason`; `NodeQueue.worker_lost` follows."""

    worker: int
    reason: Outcome


@dataclass(frozen=True, slots=True)
class RetireWorker:
    """Effect: this idle worker is not needed any more; it may end, and is forgotten here."""

    worker: int


@dataclass(frozen=True, slots=True)
class WantWorkers:
    """Effect: there shall be so many worker processes."""

    count: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Effect: tell the submitter."""

    submitter: Hashable
    message: TaskReply


QueueEffect = StartOnWorker | GiveCode | EndWorker | RetireWorker | WantWorkers | Answer
