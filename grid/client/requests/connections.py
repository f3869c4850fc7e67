"""A client's way to the network processes: one connection for questions about the cluster.

Responsible for: dialling (also for whoever wants a connection of their own), finding another
node when the one asked is gone. Blocking and thread-safe: one lock, held for one question.

Not responsible for: the data plane (``blocking.py``, ``aio.py``), tasks (``tasks/links.py``).
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from weakref import WeakMethod, WeakSet

import msgspec

from grid.client.options import ClientOptions
from grid.errors import AuthenticationError, ClosedError, ConnectError, ProtocolError
from grid.executor.messages import TaskEnded, TaskStarted
from grid.transport.blocking import BlockingConnection, connect
from grid.transport.interfaces import usable_interface_addresses
from grid.transport.unix import local_node_ports
from grid.types import NODE_ID_BYTES, Address
from grid.wire.catalog import decode_client_reply, encode
from grid.wire.control import (
    ControlReply,
    ControlRequest,
    Event,
    Events,
    EventsWanted,
    NodeView,
    View,
    ViewWanted,
)
from grid.wire.handshake import Purpose
from grid.wire.security import ClusterKeys

TABLE_PAUSE_S = 0.05
"""Between two looks at a node that has no table yet."""

DIAL_TIMEOUT_S = 3.0
"""Connection and handshake; a stopped node is given up well before an operation's deadline."""

CONTROL_TIMEOUT_S = 3.0
"""A gateway that is silent for so long is given up for another."""

CLIENT_ID_BYTES = NODE_ID_BYTES

HINT = (
    "start one with 'grid up', or pass the address of one that runs "
    "(--connect HOST[:PORT], grid.connect('HOST:PORT'))"
)
"""What a person can do if no node was found."""

Gateway = Address | int
"""Where to reach a network process: an address, or a local node's port by unix socket."""


class Connections:
    """One client's way to all network processes; safe to share between threads."""

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
        self._given = tuple(gateways)
        self._gateways: list[Gateway] = list(gateways)
        self._control: BlockingConnection | None = None
        self._gateway: Gateway | None = None
        self._control_lock = threading.Lock()
        self._after_fork: list[WeakMethod[Callable[[], None]]] = []
        self._numbers = count(1)
        self._local_ports: dict[bytes, int] = {}
        self.is_closed = False
        self.client_id = os.urandom(CLIENT_ID_BYTES)
        """Names this client, and with a request's number that request, to storage processes."""
        _all_connections.add(self)
        self.view()

    # -- the network process --------------------------------------------------------------

    def ask(
        self, make: Callable[[int], ControlRequest], deadline_s: float = math.inf
    ) -> ControlReply:
        """Ask the gateway, or the next one that answers: each once, for several may die at once.

        Args:
            make: the question.
            deadline_s: no gateway is tried after this time of ``time.monotonic``.

        Raises: ConnectError when none answers any more.
        """
        with self._control_lock:
            for tries_left in reversed(range(1 + len(self._gateways))):
                connection = self._control or self._dial_gateway(deadline_s)
                self._control = connection
                try:
                    connection.send_frame(encode(make(next(self._numbers))))
                    reply = decode_client_reply(connection.receive_frame())
                except BaseException as error:
                    self._control = None
                    connection.close()
                    self._try_last(self._gateway)
                    if not isinstance(error, OSError):
                        raise
                    if not tries_left or time.monotonic() > deadline_s:
                        raise ConnectError(f"the node does not answer: {error}") from error
                    continue
                if isinstance(reply, TaskEnded | TaskStarted):
                    raise AssertionError("no tasks are sent on this connection")
                return reply
            raise AssertionError("unreachable")

    def view(self, deadline_s: float = math.inf) -> View:
        """Return the cluster as the gateway knows it; its nodes become gateways, too.

        Raises: ConnectError; see `ask`.
        """
        reply = self.ask(ViewWanted, deadline_s)
        assert isinstance(reply, View)
        reply = self._with_dialled_address(reply)
        self._find_local_nodes(reply)
        if self.keys is not None:
            addresses = [Address(node.host, node.port) for node in reply.nodes]
            kept = [g for g in self._gateways if g in self._given or g in addresses]
            self._gateways = kept + [a for a in addresses if a not in kept]
        return reply

    def _try_last(self, gateway: Gateway | None) -> None:
        """This one has failed; ask the others first."""
        if gateway in self._gateways:
            self._gateways.remove(gateway)
            self._gateways.append(gateway)

    def _with_dialled_address(self, view: View) -> View:
        """Put the address by which this client reaches the gateway in place of what it tells.

        A machine with several networks, or behind a tunnel, may name one that is no use here.
        """
        gateway = self._gateway
        if not isinstance(gateway, Address):
            return view
        nodes = [
            msgspec.structs.replace(node, host=gateway.host, port=gateway.port)
            if node.id == view.own_id
            else node
            for node in view.nodes
        ]
        return msgspec.structs.replace(view, nodes=nodes)

    def first_view(self) -> View:
        """Return the first view with a table.

        Raises: ConnectError when the node stays without one until the deadline.
        """
        deadline_s = time.monotonic() + self.options.connect_deadline_s
        while True:
            view = self.view()
            if view.table is not None:
                return view
            if time.monotonic() > deadline_s:
                raise ConnectError(
                    f"the node answers, but has not joined a cluster {self.cluster!r} "
                    f"within {self.options.connect_deadline_s:g} s"
                )
            time.sleep(TABLE_PAUSE_S)

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

    def _dial_gateway(self, deadline_s: float) -> BlockingConnection:
        tried: list[str] = []
        for gateway in list(self._gateways):
            if tried and time.monotonic() > deadline_s:
                tried.append("no time to try others")
                break
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
            self._gateway = gateway
            return connection
        what = "; ".join(tried) or "no node of this user runs on this machine"
        is_address = any(isinstance(gateway, Address) for gateway in self._gateways)
        hint = "does it run there? 'grid status' on that machine says it" if is_address else HINT
        raise ConnectError(f"no node of the cluster {self.cluster!r} answers ({what}); {hint}")

    def _check_cluster(self, connection: BlockingConnection) -> None:
        """Refuse a node of another cluster (behind a unix socket the handshake does not tell)."""
        try:
            connection.send_frame(encode(ViewWanted(0)))
            view = decode_client_reply(connection.receive_frame())
        except OSError as error:
            connection.close()
            raise ConnectError(f"the node went away: {error}") from error
        if not isinstance(view, View):
            connection.close()
            raise ProtocolError("the answer to another question")
        if stranger := view.stranger(self.cluster, self.keys):
            connection.close()
            raise ConnectError(f"{stranger} answers there")

    # -- every network process ------------------------------------------------------------

    def events(self) -> list[Event]:
        """Return what the living nodes have seen happen, oldest first.

        Each is asked by a connection of its own; one that does not answer in time is left out.

        Raises: ConnectError when no node tells which ones there are.
        """
        deadline_s = time.monotonic() + self.options.operation_deadline_s
        events: list[Event] = []
        for node in self.view(deadline_s).nodes:
            with contextlib.suppress(ConnectError, AuthenticationError, ProtocolError, OSError):
                events += self._events_of(node, deadline_s - time.monotonic())
        return sorted(events, key=lambda event: event.time_s)

    def _events_of(self, node: NodeView, timeout_s: float) -> list[Event]:
        if timeout_s <= 0:
            return []
        gateway = self.gateway_of(node.id, Address(node.host, node.port))
        connection = self.dial(gateway, Purpose.CONTROL, timeout_s=timeout_s)
        try:
            if connection.node_id != node.id:
                return []  # Its place is taken by another, which has not seen what it has.
            connection.send_frame(encode(EventsWanted(1)))
            reply = decode_client_reply(connection.receive_frame())
        finally:
            connection.close()
        return reply.events if isinstance(reply, Events) else []

    # -- any process ----------------------------------------------------------------------

    def gateway_of(self, node_id: bytes, address: Address) -> Gateway:
        """Prefer the unix socket of a node on this machine: no secret needed, and quicker."""
        return self._local_ports.get(node_id, address)

    def dial(
        self,
        gateway: Gateway,
        purpose: Purpose,
        index: int = 0,
        timeout_s: float = math.inf,
    ) -> BlockingConnection:
        """Open a new connection, within `timeout_s` if that is less than the option says.

        Raises: ConnectError; AuthenticationError; ProtocolError; ClosedError.
        """
        self.check_open()
        connection = connect(
            gateway,
            self.keys,
            purpose,
            index=index,
            # All connections have one id: the numbers of their requests come from one counter.
            client_id=self.client_id if purpose is Purpose.STORAGE else None,
            timeout_s=min(self.options.connect_deadline_s, DIAL_TIMEOUT_S, timeout_s),
        )
        connection.set_timeout(CONTROL_TIMEOUT_S)
        return connection

    def call_after_fork(self, forget: Callable[[], None]) -> None:
        """Have a forked child call `forget`, too: the parent's sockets are not for it."""
        self._after_fork.append(WeakMethod(forget))

    def check_open(self) -> None:
        """Raises: ClosedError when this was closed."""
        if self.is_closed:
            raise ClosedError("this client is closed")

    def close(self) -> None:
        """Close the connection to the gateway, and open none any more; idempotent."""
        self.is_closed = True
        control, self._control = self._control, None
        if control is not None:
            control.close()

    def after_fork(self) -> None:
        """In a forked child: the parent's sockets and its name are not ours to speak with."""
        self.client_id = os.urandom(CLIENT_ID_BYTES)
        self._control_lock = threading.Lock()
        control, self._control = self._control, None
        if control is not None:
            control.close()
        for reference in self._after_fork:
            forget = reference()
            if forget is not None:
                forget()


_all_connections: WeakSet[Connections] = WeakSet()


def _reset_after_fork() -> None:
    for connections in list(_all_connections):
        connections.after_fork()


os.register_at_fork(after_in_child=_reset_after_fork)
