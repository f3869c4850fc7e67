"""What submitters, nodes and workers say to each other about tasks.

A submitter talks straight to the node that shall run the task; the node's network process
queues it and hands it to one of its workers. Payloads are opaque here: only workers and the
submitting client unpickle them.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Outcome(IntEnum):
    """How an attempt at a task ended."""

    RETURNED = 0
    RAISED = 1
    REFUSED_QUEUE_FULL = 2
    WORKER_DIED = 3
    CANCELLED = 4


class RunTask(msgspec.Struct, array_like=True, frozen=True, tag=20):
    """Submitter to node: run this. `task` is unique for the submitter's connection."""

    task: int
    attempt: int
    payload: bytes


class CancelTask(msgspec.Struct, array_like=True, frozen=True, tag=21):
    """Submitter to node: do not start this any more. No effect on a running task."""

    task: int


class TaskEnded(msgspec.Struct, array_like=True, frozen=True, tag=20):
    """Node to submitter: the attempt is over. `payload` as the worker wrote it."""

    task: int
    attempt: int
    outcome: Outcome
    payload: bytes


class WorkerTask(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Node to worker: run this now."""

    number: int
    payload: bytes


class WorkerResult(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Worker to node: done."""

    number: int
    outcome: Outcome
    payload: bytes


TaskRequest = RunTask | CancelTask
