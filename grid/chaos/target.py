"""What chaos needs of a cluster: a few calls of a client, and nodes to kill and to start.

`grid.client.session.Grid`, `nodes.LocalNodes` and `host_nodes.HostNodes` are the real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from grid.client.entries.entry_operations import Ack
from grid.client.entries.tokens import WriteToken
from grid.types import PartitionId
from grid.wire.control import Event


class Entries(Protocol):
    """A map."""

    def get(self, key: str, /) -> Any:
        """Return the value, or None."""

    def get_all(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return those that exist."""

    def put(self, key: str, value: Any, *, ack: Ack = None) -> WriteToken:
        """Store; return the token of the write."""

    def put_all(self, entries: Mapping[str, Any], *, ack: Ack = None) -> None:
        """Store many."""

    def delete(self, key: str, *, ack: Ack = None) -> bool:
        """Remove."""

    def increment(self, key: str, amount: int = 1, *, ack: Ack = None) -> Any:
        """Add; return the sum."""

    def apply(
        self, key: str, fn: Callable[..., int], /, *args: float, default: int, ack: Ack = None
    ) -> int:
        """Store what the function makes of the value, where that is; return it."""

    def apply_many(
        self,
        keys: Iterable[str],
        fn: Callable[..., int],
        /,
        *args: float,
        default: int,
        ack: Ack = None,
    ) -> dict[str, int]:
        """Do so with many."""


class Client(Protocol):
    """A client of the cluster."""

    def map(self, name: str) -> Entries:
        """Return a map."""

    def flush(self) -> None:
        """Wait until the backups have everything."""

    def survived(self, token: WriteToken) -> bool:
        """Return whether a write was not lost."""

    def lost(self) -> Sequence[PartitionId]:
        """Return the lost partitions."""

    def accept_loss(self) -> None:
        """Use them again, empty."""

    def events(self) -> Sequence[Event]:
        """Return what has happened."""

    def status(self) -> dict[str, Any]:
        """Return the status document."""

    def close(self) -> None:
        """Close all connections."""


class Nodes(Protocol):
    """Nodes that are started and killed one by one; no two ever have the same name."""

    def start(self) -> str:
        """Start a node and return its name, without waiting for it."""

    def wait_until_ready(self, name: str) -> None:
        """Wait until a started node is a member; raise GridError if that fails."""

    def alive(self) -> list[str]:
        """Return the nodes that have been started and not been killed."""

    def kill(self, name: str) -> None:
        """Kill all processes of a node at once."""

    def client(self) -> Client:
        """Connect."""

    def complaints(self) -> list[str]:
        """Return the warnings and errors that nodes have printed since the last call."""

    def resident_bytes(self) -> dict[str, int]:
        """Return the resident memory of each process of the nodes that run, by its name."""

    def close(self) -> None:
        """End all nodes; leave nothing behind."""
