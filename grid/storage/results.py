"""The latest results of each client in one partition: a repeated request is not carried out again.

A client repeats a request whose reply it has not got under the same number. Kept for each client
and partition are `RESULTS_KEPT` results; what is older is *forgotten*, and a request with such a
number is refused, since nobody can tell any more whether it was carried out. These results are
part of a partition's state: its copies have them, too.

Source of the rule: Raft dissertation (Ongaro 2014) section 6.3, sessions of clients.
"""

from __future__ import annotations

from collections.abc import Iterable

from grid.storage.messages import LARGE_VALUE_BYTES, Done, Found, Missing

RESULTS_KEPT = 64

CLIENTS_MAX = 256
"""Clients of one partition whose results are kept; those silent for longest are forgotten."""

KeptResult = Done | Found | Missing | None
"""None: a result too large to be kept."""


class ClientResults:
    """The results of one client in one partition."""

    __slots__ = ("floor", "is_idle", "results")

    def __init__(self, floor: int = -1) -> None:
        """Start with none."""
        self.results: dict[int, KeptResult] = {}
        self.floor = floor
        """The highest number forgotten."""
        self.is_idle = False

    def add(self, operation: int, result: KeptResult) -> None:
        """Keep a result; forget the oldest beyond `RESULTS_KEPT`."""
        results = self.results
        results[operation] = result
        if len(results) > RESULTS_KEPT:
            oldest = next(iter(results))
            del results[oldest]
            if oldest > self.floor:
                self.floor = oldest


class Results:
    """The results of all clients in one partition."""

    __slots__ = ("clients",)

    def __init__(self) -> None:
        """Start with none."""
        self.clients: dict[bytes, ClientResults] = {}

    def of(self, client: bytes) -> ClientResults:
        """Return a client's results; from now on there are some."""
        known = self.clients.get(client)
        if known is None:
            if len(self.clients) >= CLIENTS_MAX:
                self._forget_one()
            known = self.clients[client] = ClientResults()
        known.is_idle = False
        return known

    def forget_idle(self) -> None:
        """Forget clients without a write since the last call but one."""
        for client, known in list(self.clients.items()):
            if known.is_idle:
                del self.clients[client]
            known.is_idle = True

    def _forget_one(self) -> None:
        idle = (client for client, known in self.clients.items() if known.is_idle)
        del self.clients[next(idle, next(iter(self.clients)))]


def keep_in_all(
    of_each: Iterable[Results], client: bytes, operation: int, result: KeptResult
) -> None:
    """Keep the result of a request that concerns many partitions: `add`, in one piece."""
    for results in of_each:
        known = results.clients.get(client)
        if known is None or known.is_idle:
            known = results.of(client)
        of_client = known.results
        of_client[operation] = result
        if len(of_client) > RESULTS_KEPT:
            oldest = next(iter(of_client))
            del of_client[oldest]
            if oldest > known.floor:
                known.floor = oldest


def kept(operation: int, record: bytes) -> KeptResult:
    """Return the result to keep for a reply with a record."""
    return Found(operation, record) if len(record) <= LARGE_VALUE_BYTES else None
