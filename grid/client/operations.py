"""Map operations of a blocking client: routed, repeated where that is safe, bounded in time.

Responsible for: sending each request where its partition lives, fetching a newer table when
refused, and the decision what may be sent again.

What may be repeated: a refused request (nothing was changed), a request that was never sent,
and reads. A write whose connection broke after it was sent may have been applied; it fails
with outcome "unknown" rather than being applied twice.

Not here: encoding of keys and values (``map.py``), sockets (``connections.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import count

from grid.client.connections import ConnectionLostError, Connections
from grid.client.routing import Routing, Target
from grid.errors import (
    ConnectError,
    OperationError,
    OperationTimeoutError,
    PartitionLostError,
    ProtocolError,
)
from grid.storage.messages import (
    Delete,
    Put,
    PutAll,
    RefusalReason,
    Refused,
    Scan,
    StorageReply,
    StorageRequest,
)
from grid.types import PARTITION_COUNT, NodeId

RETRY_PAUSE_S = 0.05
"""Between two looks at the table while it does not answer the question yet."""

_WRITES = (Put, PutAll, Delete)

MakeRequest = Callable[[int, int], StorageRequest]
"""(request number, epoch) -> request."""


class Operations:
    """Sends data-plane requests for one client."""

    def __init__(self, connections: Connections) -> None:
        """Fetch the first table.

        Raises: ConnectError when the node stays without a table until the deadline.
        """
        self._connections = connections
        self._numbers = count(1)
        self._deadline_s = connections.options.operation_deadline_s
        self._routing = self._first_routing()

    @property
    def routing(self) -> Routing:
        """The table in use."""
        return self._routing

    def on_partition(self, partition_id: int, make: MakeRequest) -> StorageReply:
        """Carry out one request on the partition's owner.

        Raises: PartitionLostError; OperationTimeoutError; OperationError.
        """
        deadline_s = 0.0
        while True:
            routing = self._routing
            route = routing.routes[partition_id]
            if route is None:
                reason = self._why_unserved(routing, partition_id)
            else:
                request = make(next(self._numbers), route.epoch)
                try:
                    reply = self._connections.storage(route.target).request(request)
                except ConnectionLostError as error:
                    if error.is_sent and isinstance(request, _WRITES):
                        raise _unknown(route.target, error) from error
                    reason = str(error)
                else:
                    if type(reply) is not Refused:
                        return reply
                    self._raise_if_final(reply)
                    reason = f"refused by {route.target.name}: {reply.reason.name}"
            # The deadline starts at the first trouble: the clock is not read before.
            deadline_s = deadline_s or time.monotonic() + self._deadline_s
            self._wait_for_newer_table(routing, deadline_s, reason)

    def on_targets(
        self,
        partition_ids: Iterable[int],
        make: Callable[[int, list[tuple[int, int]]], StorageRequest],
    ) -> list[tuple[list[int], StorageReply]]:
        """Carry out one request per storage process, each for the partitions it holds.

        `make` gets the request number and (partition, epoch) pairs. Returns, for each
        request, the partitions it was for and its reply.

        Raises: PartitionLostError; OperationTimeoutError; OperationError.
        """
        done: list[tuple[list[int], StorageReply]] = []
        remaining = list(partition_ids)
        deadline_s = 0.0
        while remaining:
            routing, reason = self._routing, ""
            groups, repeat = self._grouped(routing, remaining)
            if repeat:
                reason = self._why_unserved(routing, repeat[0])
            for target, pairs in groups.items():
                ids = [partition_id for partition_id, _ in pairs]
                request = make(next(self._numbers), pairs)
                try:
                    reply = self._connections.storage(target).request(request)
                except ConnectionLostError as error:
                    if error.is_sent and isinstance(request, _WRITES):
                        raise _unknown(target, error) from error
                    repeat += ids
                    reason = str(error)
                    continue
                if isinstance(reply, Refused):
                    self._raise_if_final(reply)
                    repeat += ids
                    reason = f"refused by {target.name}: {reply.reason.name}"
                    continue
                done.append((ids, reply))
            remaining = repeat
            if remaining:
                deadline_s = deadline_s or time.monotonic() + self._deadline_s
                self._wait_for_newer_table(routing, deadline_s, reason)
        return done

    def owner_of(self, partition_id: int) -> NodeId | None:
        """Return the node that holds a partition, by the table in use."""
        route = self._routing.routes[partition_id]
        return None if route is None else route.target.node_id

    def scan_partition(
        self, map_name: str, partition_id: int, *, with_values: bool
    ) -> Iterable[StorageReply]:
        """Yield the pages of one partition; they are one moment's entries.

        Raises: as `on_partition`; OperationError when the owner changes between two pages.
        """
        scan = 0
        while True:
            number = scan
            page = self.on_partition(
                partition_id,
                lambda request, epoch, number=number: Scan(  # type: ignore[misc]  # default binds now
                    request, map_name, partition_id, epoch, number, with_values
                ),
            )
            yield page
            scan = getattr(page, "scan", 0)
            if not scan:
                return

    # -- the table ------------------------------------------------------------------------

    def refresh(self) -> None:
        """Fetch the table now and use it if it is newer."""
        view = self._connections.view()
        if view.table is not None:
            self._routing = Routing(view)
            self._connections.forget_other_nodes({node.id for node in view.nodes})

    def _first_routing(self) -> Routing:
        deadline_s = time.monotonic() + self._connections.options.connect_deadline_s
        while True:
            view = self._connections.view()
            if view.table is not None:
                return Routing(view)
            if time.monotonic() > deadline_s:
                raise ConnectError(
                    f"the node answers, but has not joined a cluster {self._connections.cluster!r} "
                    f"within {self._connections.options.connect_deadline_s:g} s"
                )
            time.sleep(RETRY_PAUSE_S)

    def _wait_for_newer_table(self, used: Routing, deadline_s: float, reason: str) -> None:
        """Return with a table worth another try.

        The same table is tried again after a pause: its nodes may adopt it a moment after
        this client has seen it.
        """
        if time.monotonic() > deadline_s:
            raise OperationTimeoutError(
                f"no answer within {self._deadline_s:g} s ({reason})", "not_applied"
            )
        if self._routing is used:
            before = used.stamp
            try:
                self.refresh()
            except ConnectError as error:
                raise OperationTimeoutError(f"{error} ({reason})", "not_applied") from error
            if self._routing.stamp == before:
                time.sleep(RETRY_PAUSE_S)

    @staticmethod
    def _grouped(
        routing: Routing, partition_ids: list[int]
    ) -> tuple[dict[Target, list[tuple[int, int]]], list[int]]:
        """Return (partition, epoch) pairs by storage process, and the partitions unserved."""
        groups: dict[Target, list[tuple[int, int]]] = {}
        unserved = []
        for partition_id in partition_ids:
            route = routing.routes[partition_id]
            if route is None:
                unserved.append(partition_id)
            else:
                groups.setdefault(route.target, []).append((partition_id, route.epoch))
        return groups, unserved

    def _why_unserved(self, used: Routing, partition_id: int) -> str:
        """Return why a partition has no route, for the wait until it has one.

        Raises: PartitionLostError when the newest table says that it is lost.
        """
        if partition_id not in used.lost:
            return f"the owner of partition {partition_id} is gone"
        self.refresh()
        lost = self._routing.lost
        if partition_id in lost:
            raise PartitionLostError(
                f"partition {partition_id} was lost with the node that held it ({len(lost)} of "
                f"{PARTITION_COUNT} are lost now); 'grid accept-loss' makes them usable again, "
                "without what they held",
                "not_applied",
            )
        return f"partition {partition_id} has just been lost or accepted"

    @staticmethod
    def _raise_if_final(reply: Refused) -> None:
        if reply.reason is RefusalReason.SCAN_EXPIRED:
            raise OperationError(
                f"the iteration over partition {reply.partition} was interrupted: its owner "
                "changed or it paused too long; start it again",
                "not_applied",
            )
        if reply.reason is RefusalReason.TOO_LARGE:
            raise ProtocolError("the node has smaller key or value limits than this client")


def _unknown(target: Target, error: ConnectionLostError) -> OperationError:
    return OperationError(
        f"the connection to {target.name} broke after the write was sent ({error}); "
        "it may have been applied",
        "unknown",
    )
