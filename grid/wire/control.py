"""What clients ask of a node's network process, and its answers (tasks: ``executor/``)."""

from __future__ import annotations

import msgspec

from grid.partition.table import PartitionTable
from grid.wire.security import ClusterKeys


class NodeView(msgspec.Struct, array_like=True, frozen=True):
    """A member as clients see it: where it answers and how busy it says it is.

    `free_share`: how much of its workers' full speed others on its machine leave to them, 0 to 1.
    """

    id: bytes
    name: str
    host: str
    port: int
    storage_processes: int
    workers: int
    tasks_queued: int
    tasks_running: int
    free_share: float = 1.0


class ViewWanted(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """Who is there, and who holds what: `View`."""

    request: int


class StatusWanted(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """The figures of ``grid status``: `Status`."""

    request: int


class ShutdownWanted(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """Stop this node: `Accepted`, then the connection ends when the node has stopped."""

    request: int


class LossAccepted(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """Serve lost partitions again, empty: `Accepted`."""

    request: int


class EventsWanted(msgspec.Struct, array_like=True, frozen=True, tag=5):
    """What has happened, as this node saw it, after its event number `after`: `Events`."""

    request: int
    after: int = 0


class Event(msgspec.Struct, array_like=True, frozen=True):
    """Something that has happened to the cluster, as one node saw it.

    `number` counts the events of that node from 1 on; `time_s` is its wall clock (Unix seconds);
    `node` is its name. `kind` is one of "joined", "suspect", "alive" (no suspect any more), "dead",
    "left" (a member), "promoted" (backups on that node took over), "retried" (tasks that others
    did not finish run there), "lost", "accepted", "balanced", "protected" (partitions). `fields`
    has the figures of `text` (``process/events.py`` says which).
    """

    number: int
    time_s: float
    node: str
    kind: str
    text: str
    fields: dict[str, int | str]


class View(msgspec.Struct, array_like=True, frozen=True, tag=1):
    """The cluster as this node knows it; `table` is None until it has joined one.

    `key_tag` tells its secret from another one: behind a unix socket the handshake does not.
    """

    request: int
    cluster: str
    key_tag: bytes
    own_id: bytes
    nodes: list[NodeView]
    table: PartitionTable | None

    def stranger(self, cluster: str, keys: ClusterKeys | None) -> str:
        """Return what to call the node if it is of another cluster than asked for, else "".

        Without `keys` any secret will do.
        """
        if self.cluster != cluster:
            return f"a node of the cluster {self.cluster!r}"
        if keys is not None and self.key_tag != keys.key_tag:
            return "a node of a cluster of this name with another secret"
        return ""


class Status(msgspec.Struct, array_like=True, frozen=True, tag=2):
    """A JSON document, as ``grid status --json`` prints it."""

    request: int
    document: bytes


class Accepted(msgspec.Struct, array_like=True, frozen=True, tag=3):
    """It will be done."""

    request: int


class Events(msgspec.Struct, array_like=True, frozen=True, tag=4):
    """The events asked for that are still known, oldest first."""

    request: int
    events: list[Event]


ControlRequest = ViewWanted | StatusWanted | ShutdownWanted | LossAccepted | EventsWanted
ControlReply = View | Status | Accepted | Events
