"""What a submitter's core wants done.

Not here: when (``submissions.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

from grid.executor.messages import Outcome, TaskRequest
from grid.types import NodeId, Payload


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
