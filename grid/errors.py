"""The whole error tree on one page.

    GridError
      ConfigError                  the user's configuration; nothing started
      StartError                   this node cannot start (port taken, no network); nothing started
      SerializationError           a key or value that cannot travel; nothing sent
        KeyTooLargeError
        ValueTooLargeError
      ProtocolError                the other side broke the protocol; the connection is dropped
      AuthenticationError          wrong secret or wrong cluster; nothing was sent after it
      ConnectError                 no node answered; nothing sent
      ClosedError                  the client was closed before the call; nothing sent
      OperationError               .outcome: "not_applied" | "applied" | "unknown"
        OperationTimeoutError      no answer within the deadline
        PartitionLostError         every copy died with its node; data is gone, said aloud
        NotEnoughNodesError        a write was to wait for a backup, and there is none
      TaskError                    a task could not be run (its own exceptions come as themselves)
        TaskQueueFullError
        TaskTimeoutError           it ran longer than it was allowed to, and was ended
        WorkerLostError            worker or node died under the task, which may not run again
          PoisonTaskError          its workers died again and again: it is taken for the cause
        MissingPackageError        the node lacks a package that the task imports; nothing ran
        PythonVersionError         the node runs another minor version of Python; nothing ran

Each docstring answers: who caused it, did state change, what now.
"""

from __future__ import annotations

from typing import Literal

Outcome = Literal["not_applied", "applied", "unknown"]
"""What became of a write: "applied" is one that was done, but not all that was asked with it."""


class GridError(Exception):
    """Root of everything this package raises on purpose."""


class ConfigError(GridError):
    """The configuration is wrong: one sentence with file, key and what is allowed."""


class StartError(GridError):
    """This node cannot start here and now; the sentence says what stands in the way."""


class SerializationError(GridError):
    """A key or value that cannot be sent; the caller's, nothing was changed."""


class KeyTooLargeError(SerializationError):
    """The encoded key exceeds ``storage.key_bytes_max``; nothing was changed."""


class ValueTooLargeError(SerializationError):
    """The encoded value exceeds ``storage.value_bytes_max``; nothing was changed."""


class ProtocolError(GridError):
    """The other side sent what it must not; its connection is dropped."""


class AuthenticationError(GridError):
    """Secret or cluster name differ; neither side has accepted anything from the other."""


class ConnectError(GridError):
    """No node of the cluster answered; says what was tried. Start one, or pass an address."""


class ClosedError(GridError):
    """The client is closed: no call goes out any more. Connect again."""


class OperationError(GridError):
    """A map operation failed; `outcome` says whether it may have been applied."""

    def __init__(self, message: str, outcome: Outcome) -> None:
        """Keep `outcome` beside the message."""
        super().__init__(message)
        self.outcome: Outcome = outcome

    def __reduce__(self) -> tuple[type[OperationError], tuple[str, Outcome]]:
        """Pickle with both arguments: it may be raised inside a task."""
        return type(self), (str(self), self.outcome)


class OperationTimeoutError(OperationError):
    """No answer within the deadline. With outcome "unknown", repeat only what is idempotent."""


class PartitionLostError(OperationError):
    """All nodes that held a copy died. Reads and writes fail until the loss is accepted."""


class NotEnoughNodesError(OperationError):
    """No complete backup to wait for until the deadline. Start a node, or wait for the copy."""


class TaskError(GridError):
    """A task could not be run; whatever the task itself raises arrives unwrapped."""


class TaskQueueFullError(TaskError):
    """The queue is at its bound; the task was not accepted. Wait, or submit fewer at a time."""


class TaskTimeoutError(TaskError):
    """The task ran longer than its ``timeout=`` and was ended with its worker; not retried."""


class WorkerLostError(TaskError):
    """Worker or node died under this task, and it may not run again; it may have run in part."""


class PoisonTaskError(WorkerLostError):
    """Every worker that ran this task died; the message says how each of them ended."""


class MissingPackageError(TaskError):
    """The node lacks a package that the task imports, and ran nothing. Install it there."""


class PythonVersionError(TaskError):
    """The node runs another minor version of Python than the submitter; nothing ran."""
