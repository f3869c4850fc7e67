"""A blocking client's connections: one to some node's network process for questions about
the cluster, one to each storage process it talks to.

Responsible for: dialling, matching replies to requests, finding another node when the one
asked is gone. Thread-safe: one lock per connection, held for one request and its reply.

Not responsible for: which request to send and whether to repeat it (``operations.py``).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from itertools import count
from weakref import WeakSet

from grid.client.options import ClientOptions
from grid.client.routing import Place, Target
from grid.errors import AuthenticationError, ConnectError, GridError, ProtocolError
from grid.storage.messages import StorageReply, StorageRequest
from grid.transport.blocking import BlockingConnection, connect
from grid.transport.interfaces import usable_interface_addresses
from grid.transport.unix import local_node_ports
from grid.types import Address
from grid.wire.catalog import (
    DECODE_ERRORS,
    decode_client_reply,
    decode_storage_reply,
    encode,
)
from grid.wire.control import ControlReply, ControlRequest, View, ViewWanted
from grid.wire.handshake import Purpose
from grid.wire.security import ClusterKeys

_decode_reply = decode_storage_reply.raw

Gateway = Address | int
"""Where to reach a network process: an address, or a local node's port by unix socket."""


class ConnectionLostError(Exception):
    """Internal: the connection broke; `is_sent` says whether the request may have arrived."""

    def __init__(self, reason: str, *, is_sent: bool) -> None:
        """Keep what the retry decision needs."""
        super().__init__(reason)
        self.is_sent = is_sent


class StorageConnection:
    """One connection to one storage process."""

    def __init__(self, target: Target, connection: BlockingConnection) -> None:
        """Take over an authenticated connection."""
        self.target = target
        self.is_open = True
        self._connection: BlockingConnection | None = connection
        self._lock = threading.Lock()

    def request(self, message: StorageRequest) -> StorageReply:
        """Send one request and return its reply.

        Raises: ConnectionLostError; the connection is closed then.
        """
        with self._lock:
            connection = self._connection
            if connection is None:
                raise ConnectionLostError("the connection is closed", is_sent=False)
            try:
                reply = _decode_reply(connection.exchange(encode(message)))
                if reply.request != message.request:
                    raise ProtocolError("a reply to another request has arrived")
            except BaseException as error:
                # Also KeyboardInterrupt: an unread reply must never meet the next request.
                self.is_open, self._connection = False, None
                connection.close()
                if isinstance(error, (OSError, ProtocolError, *DECODE_ERRORS)):
                    raise ConnectionLostError(str(error), is_sent=True) from error
                raise
            return reply

    def close(self) -> None:
        """Close the socket; a request under way fails."""
        self.is_open = False
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class Connections:
    """Everything one client has open."""

    def __init__(
        self,
        gateways: Sequence[Gateway],
        keys: ClusterKeys | None,
        cluster: str,
        options: ClientOptions,
    ) -> None:
        """Connect to the first of `gateways` that answers for `cluster`.

        Raises: ConnectError with what was tried; AuthenticationError.
        """
        self.keys = keys
        self.cluster = cluster
        self.options = options
        self._gateways: list[Gateway] = list(gateways)
        self._control: BlockingConnection | None = None
        self._control_lock = threading.Lock()
        self._storage: dict[Place, StorageConnection] = {}
        self._storage_lock = threading.Lock()
        self._numbers = count(1)
        self._local_ports: dict[bytes, int] = {}
        self.is_closed = False
        _all_connections.add(self)
        self.view()

    # -- the network process --------------------------------------------------------------

    def ask(self, make: type[ControlRequest]) -> ControlReply:
        """Ask the gateway, or the next one that answers.

        Raises: ConnectError when none answers any more.
        """
        with self._control_lock:
            for attempt in (1, 2):
                connection = self._control or self._dial_gateway()
                self._control = connection
                try:
                    connection.send_frame(encode(make(next(self._numbers))))
                    reply = decode_client_reply(connection.receive_frame())
                except BaseException as error:
                    self._control = None
                    connection.close()
                    if isinstance(error, OSError) and attempt == 1:
                        continue
                    if isinstance(error, OSError):
                        raise ConnectError(f"the node does not answer: {error}") from error
                    raise
                assert not hasattr(reply, "outcome"), "no tasks are sent on this connection"
                return reply
            raise AssertionError("unreachable")

    def view(self) -> View:
        """Return the cluster as the gateway knows it; its nodes become gateways, too."""
        reply = self.ask(ViewWanted)
        assert isinstance(reply, View)
        self._find_local_nodes(reply)
        addresses = [Address(node.host, node.port) for node in reply.nodes]
        if self.keys is not None:
            first = self._gateways[:1]
            self._gateways = first + [a for a in addresses if a not in first]
        return reply

    def _find_local_nodes(self, view: View) -> None:
        if not self.options.unix_sockets:
            return
        if all(node.id in self._local_ports for node in view.nodes):
            return
        local_ports = set(local_node_ports())
        own_hosts = set(usable_interface_addresses())
        self._local_ports = {
            node.id: node.port
            for node in view.nodes
            if node.port in local_ports and node.host in own_hosts
        }

    def _dial_gateway(self) -> BlockingConnection:
        tried: list[str] = []
        for gateway in self._gateways:
            try:
                connection = self.dial(gateway, Purpose.CONTROL)
                self._check_cluster(connection)
            except (ConnectError, ProtocolError) as error:
                tried.append(str(error))
                continue
            except AuthenticationError:
                if len(self._gateways) == 1:
                    raise
                tried.append(f"{gateway} uses another secret")
                continue
            return connection
        what = "; ".join(tried) or "no node of this user runs on this machine"
        is_address = any(isinstance(gateway, Address) for gateway in self._gateways)
        hint = (
            "does it run there?" if is_address else "start one with 'grid up', or pass its address"
        )
        raise ConnectError(f"no node of the cluster {self.cluster!r} answers ({what}); {hint}")

    def _check_cluster(self, connection: BlockingConnection) -> None:
        """Refuse a node of another cluster (behind a unix socket the name proves nothing)."""
        try:
            connection.send_frame(encode(ViewWanted(0)))
            view = decode_client_reply(connection.receive_frame())
        except OSError as error:
            connection.close()
            raise ConnectError(f"the node went away: {error}") from error
        if not isinstance(view, View) or view.cluster != self.cluster:
            connection.close()
            name = view.cluster if isinstance(view, View) else "?"
            raise ConnectError(f"a node of the cluster {name!r} answers there")

    # -- storage processes ----------------------------------------------------------------

    def storage(self, target: Target) -> StorageConnection:
        """Return the open connection to a storage process, dialling it if need be.

        Raises: ConnectionLostError (not sent) when it cannot be reached.
        """
        connection = self._storage.get(target.place)
        if connection is not None and connection.is_open:
            return connection
        with self._storage_lock:
            connection = self._storage.get(target.place)
            if connection is not None and connection.is_open:
                return connection
            try:
                gateway = self.gateway_of(target.node_id, target.address)
                raw = self.dial(gateway, Purpose.STORAGE, target.storage_index)
            except (ConnectError, ProtocolError, AuthenticationError) as error:
                raise ConnectionLostError(str(error), is_sent=False) from error
            if raw.node_id != target.node_id:
                raw.close()
                raise ConnectionLostError(f"{target.name} has been replaced", is_sent=False)
            connection = self._storage[target.place] = StorageConnection(target, raw)
            return connection

    def gateway_of(self, node_id: bytes, address: Address) -> Gateway:
        """Prefer the unix socket of a node on this machine: no secret needed, and quicker."""
        return self._local_ports.get(node_id, address)

    def dial(self, gateway: Gateway, purpose: Purpose, index: int = 0) -> BlockingConnection:
        """Open a new connection.

        Raises: ConnectError; AuthenticationError; ProtocolError; GridError after `close`.
        """
        if self.is_closed:
            raise GridError("this client is closed")
        connection = connect(
            gateway,
            self.keys,
            purpose,
            index=index,
            timeout_s=self.options.connect_deadline_s,
        )
        connection.set_timeout(self.options.operation_deadline_s)
        return connection

    def forget_other_nodes(self, node_ids: set[bytes]) -> None:
        """Close connections to nodes that are no longer there."""
        with self._storage_lock:
            for place in [p for p in self._storage if p[0] not in node_ids]:
                self._storage.pop(place).close()

    def close(self) -> None:
        """Close everything; idempotent."""
        self.is_closed = True
        control, self._control = self._control, None
        if control is not None:
            control.close()
        with self._storage_lock:
            while self._storage:
                self._storage.popitem()[1].close()

    def after_fork(self) -> None:
        """In a forked child: the parent's sockets are not ours to speak on."""
        self._control_lock = threading.Lock()
        self._storage_lock = threading.Lock()
        control, self._control = self._control, None
        if control is not None:
            control.close()
        storage, self._storage = self._storage, {}
        for connection in storage.values():
            connection.close()


_all_connections: WeakSet[Connections] = WeakSet()


def _reset_after_fork() -> None:
    for connections in list(_all_connections):
        connections.after_fork()


os.register_at_fork(after_in_child=_reset_after_fork)
