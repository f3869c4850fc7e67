"""A connection to the cluster: where maps and executors come from.

Not here: finding the cluster (``grid/api.py`` reads the configuration).
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal

import msgspec

from grid.client.entries.safety import flush, survived
from grid.client.entries.tokens import WriteToken
from grid.client.map import Map
from grid.client.options import ClientOptions
from grid.client.processing.at_data import AtData
from grid.client.requests.blocking import BlockingShell
from grid.client.requests.connections import Connections, Gateway
from grid.client.tasks.executor import GridExecutor
from grid.client.tasks.waiting import Waiting
from grid.errors import GridError
from grid.executor.options import ExecutorOptions
from grid.storage.options import StorageOptions
from grid.types import PartitionId
from grid.wire.control import Event, LossAccepted, NodeView, Status, StatusWanted
from grid.wire.security import ClusterKeys

MAP_NAME_BYTES_MAX = 255


def status_from(connections: Connections) -> dict[str, Any]:
    """Ask for the document that ``grid status --json`` prints; needs no partition table."""
    reply = connections.ask(StatusWanted)
    assert isinstance(reply, Status)
    document: dict[str, Any] = msgspec.json.decode(reply.document)
    return document


def check_map_name(name: str) -> None:
    """Raise GridError for an empty or overlong name, TypeError for what is no text."""
    if not isinstance(name, str):
        raise TypeError(f"a map's name is a str, not {name!r}")
    size = len(name.encode())
    if not 1 <= size <= MAP_NAME_BYTES_MAX:
        raise GridError(f"a map's name has 1 to {MAP_NAME_BYTES_MAX} bytes, not {size}")


class Grid:
    """A client of one cluster; a context manager. Safe to share between threads.

    What is asked of the cluster as such (`status`, `nodes`, `lost`, `accept_loss`, `events`) raises
    ConnectError when no node answers; after `close` it raises ClosedError, and so do maps.
    """

    def __init__(
        self,
        gateways: Sequence[Gateway],
        keys: ClusterKeys | None,
        cluster: str,
        options: ClientOptions,
        *,
        storage_options: StorageOptions | None = None,
        executor_options: ExecutorOptions | None = None,
        waiting: Waiting | None = None,
    ) -> None:
        """Connect; use `grid.connect()` instead. `waiting` is for tasks (``tasks/waiting.py``).

        Raises: ConnectError; AuthenticationError.
        """
        self._connections = Connections(gateways, keys, cluster, options)
        self._shell = BlockingShell(self._connections)
        self._storage_options = storage_options or StorageOptions()
        self._executor_options = executor_options or ExecutorOptions()
        self._waiting = waiting
        self._executors: list[GridExecutor] = []
        self._at_data = AtData(self._shell.core, self._storage_options, self.executor)
        self._connections.call_after_fork(self._at_data.forget)

    def __repr__(self) -> str:
        """Name the cluster."""
        return f"<grid client of {self._connections.cluster!r}>"

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._connections.is_closed

    def map(self, name: str, *, backup_ack: bool = False) -> Map[Any, Any]:
        """Return the map called `name`; it exists from its first entry on.

        `backup_ack`: every write by this object waits for a backup, as with ``ack="backup"``.
        Other objects of the same map, here or elsewhere, have their own default.

        Raises: GridError for an empty or overlong name.
        """
        check_map_name(name)
        limits = self._storage_options
        return Map(name, self._shell, limits, self._at_data, backup_ack=backup_ack)

    def executor(self, *, when_full: Literal["wait", "raise"] = "wait") -> GridExecutor:
        """Return an executor over all workers of the cluster, to be used with ``with``.

        `when_full` says what `submit` does at 10,000 unfinished tasks: wait, or raise
        TaskQueueFullError.

        Raises: ClosedError.
        """
        self._connections.check_open()
        executor = GridExecutor(
            self._connections,
            self._shell.core,
            self._executor_options,
            when_full=when_full,
            waiting=self._waiting,
        )
        self._executors = [known for known in self._executors if not known.is_over]
        self._executors.append(executor)
        return executor

    def status(self) -> dict[str, Any]:
        """Return what ``grid status --json`` prints."""
        return status_from(self._connections)

    def nodes(self) -> list[NodeView]:
        """Return the living nodes as the gateway sees them."""
        return list(self._connections.view().nodes)

    def lost(self) -> list[PartitionId]:
        """Return the partitions that were lost with a node and not accepted since."""
        self._shell.refresh()
        return sorted(self._shell.core.routing.lost)

    def accept_loss(self) -> None:
        """Use lost partitions again, empty. What they held is gone either way."""
        self._connections.ask(LossAccepted)

    def flush(self) -> None:
        """Wait until the backups have everything that was written before, by anybody.

        Afterwards the death of any one node costs none of it, and is not said to, as long as nobody
        writes. The barrier is over all maps.

        Raises: NotEnoughNodesError when a partition has no complete backup until the deadline;
            PartitionLostError while some partition is lost; OperationTimeoutError.
        """
        self._shell.run(flush(self._shell.core))

    def survived(self, token: WriteToken) -> bool:
        """Return whether the write that `put` gave this token for has outlived every node's death.

        True says that it was not lost so far (it may have been replaced or removed since), not
        that it cannot be: for that use ``ack="backup"`` or `flush`. False says that it is gone:
        its node died before the backup had it, or every copy did.

        Raises: ValueError for what is no token; OperationTimeoutError.
        """
        return self._shell.run(survived(self._shell.core, token))

    def events(self) -> list[Event]:
        """Return what has happened to the cluster, as its living nodes saw it, oldest first.

        Each node remembers its last 1,000 events and tells its own time; the same happening may
        be told by several. A node that does not answer is left out.

        Raises: ConnectError.
        """
        return self._connections.events()

    def close(self) -> None:
        """Close this client's connections; idempotent.

        Its executors end: what has not started is cancelled, and a task that still runs fails
        here with a TaskError. To wait for tasks, leave the executor's own ``with`` block first.
        """
        for executor in self._executors:
            executor.abandon()
        self._connections.close()
        self._shell.close()

    def __enter__(self) -> Grid:
        """Return the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
