"""What submitters, nodes and workers say to each other about tasks.

A submitter talks straight to the node that shall run the task; the node's network process
queues it and hands it to one of its workers. Payloads are opaque here: only workers and the
submitting client unpickle them. They stand last, so that large ones are sent without being copied
into the message (`wire.catalog.pieces_of`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

import msgspec

from grid.executor.names import NAME_MAX
from grid.types import Payload


class Outcome(IntEnum):
    """How an attempt at a task ended."""

    RETURNED = 0
    RAISED = 1
    REFUSED_QUEUE_FULL = 2
    WORKER_DIED = 3
    CANCELLED = 4
    """It had not started, and never will."""
    KILLED = 5
    """Cancelled while it ran: its worker was ended."""
    TIMED_OUT = 6
    """It ran longer than it may: its worker was ended."""
    GIVEN = 7
    """It had not started, and a node that is idle asked for it: the payload is that node's id."""
    CODE_MISSING = 8
    """It has not been queued: the node does not have the bundle of modules that it names."""


class RunTask(msgspec.Struct, array_like=True, frozen=True, tag=20):
    """Submitter to node: run this. `task` is unique for the submitter's connection.

    Of what waits on the node, the highest `priority` starts first. `timeout_ms`: how long it may
    run, 0 for any time. `may_move`: whether the node may give it to one that is idle. `code`: the
    digest of the bundle of modules that it needs, empty if none. `function`: what to call it where
    people watch, by the submitter's word.
    """

    task: int
    attempt: int
    priority: int = 0
    timeout_ms: int = 0
    may_move: bool = True
    code: bytes = b""
    function: Annotated[str, msgspec.Meta(max_length=NAME_MAX)] = ""
    payload: Payload = b""


class CancelTask(msgspec.Struct, array_like=True, frozen=True, tag=21):
    """Submitter to node: do not start this any more; `is_forced`: and end it if it runs.

    Answered by `TaskEnded`, or by `TaskStarted` if it runs and goes on.
    """

    task: int
    is_forced: bool = False


class ShipCode(msgspec.Struct, array_like=True, frozen=True, tag=22):
    """Submitter to node: a bundle of modules, for the task that follows and others. Not answered.

    The node takes its digest itself.
    """

    bundle: bytes


class TaskEnded(msgspec.Struct, array_like=True, frozen=True, tag=20):
    """Node to submitter: the attempt is over.

    `payload` as the worker wrote it; if the worker died, what is known of its end, in UTF-8.
    `ran_us` is how long it ran, in microseconds.
    """

    task: int
    attempt: int
    outcome: Outcome
    ran_us: int = 0
    payload: Payload = b""


class TaskStarted(msgspec.Struct, array_like=True, frozen=True, tag=21):
    """Node to submitter: the attempt is running. Said of what takes longer than a moment."""

    task: int
    attempt: int


class WorkWanted(msgspec.Struct, array_like=True, frozen=True, tag=50):
    """Node to node: `free` of my workers have nothing to do. Not answered.

    Who has tasks waiting gives some back to their submitters (`Outcome.GIVEN`), who send them on.
    """

    free: int


class WorkerTask(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Node to worker: run this now; `code` is the digest of its bundle, empty if it has none."""

    number: int
    code: bytes = b""
    payload: Payload = b""


class WorkerCode(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Node to worker: keep this bundle; a task that needs it follows. Not answered."""

    digest: bytes
    bundle: bytes


class WorkerResult(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """Worker to node: done."""

    number: int
    outcome: Outcome
    payload: Payload = b""


class WorkerWaiting(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Worker to node: the task does nothing but wait for tasks of its own; or not any more."""

    number: int
    is_waiting: bool


class WorkerDone(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """Worker to node: the task is over; its result is large and waits here for `SendResult`."""

    number: int
    result_bytes: int


class SendResult(msgspec.Struct, array_like=True, frozen=True, tag=6):
    """Node to worker: send the result now."""


LARGE_RESULT_BYTES = 1024 * 1024
"""From here on a worker asks before it sends: a round trip within a machine is little then."""

ToWorker = WorkerTask | WorkerCode | SendResult
FromWorker = WorkerResult | WorkerWaiting | WorkerDone
TaskRequest = RunTask | CancelTask | ShipCode
TaskReply = TaskEnded | TaskStarted
PAYLOAD_MESSAGES = (RunTask, TaskEnded, WorkerTask, WorkerResult)
