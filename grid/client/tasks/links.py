"""An executor's connections to the nodes that run its tasks.

Not here: which task goes where (``executor/submissions.py``).

Threads. The executor's thread waits and receives; any thread may put and flush, with the lock of
``task_thread.py``, which guards everything here but the waiting and the dialling.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice

from grid.client.requests.connections import Connections
from grid.errors import AuthenticationError, ConnectError, ProtocolError
from grid.executor.messages import TaskEnded, TaskReply, TaskRequest, TaskStarted
from grid.types import Address, NodeId, Payload
from grid.wire.catalog import decode_client_reply, pieces_of
from grid.wire.control import NodeView
from grid.wire.frame import HEADER_BYTES, JOIN_BYTES_MAX, FrameReader
from grid.wire.handshake import Purpose

PIECES_MAX = 64
"""Gathered into one system call."""

Ready = list[tuple[selectors.SelectorKey, int]]
"""What a selector found."""


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """What came from a node; `message` None: the connection is gone."""

    node_id: NodeId
    message: TaskReply | None


class _Link:
    """One connection. Its unsent bytes are those of a submitter's slots on a node, and bundles."""

    def __init__(self, node_id: NodeId, sock: socket.socket) -> None:
        self.node_id = node_id
        self.socket = sock
        self.reader = FrameReader()
        self.unsent: deque[Payload] = deque()
        self.events = selectors.EVENT_READ

    def put(self, pieces: tuple[Payload, ...]) -> None:
        """Queue a frame whose body is these pieces."""
        length = sum(map(len, pieces))
        header = length.to_bytes(HEADER_BYTES, "big")
        if length < JOIN_BYTES_MAX:
            self.unsent.append(b"".join((header, *pieces)))
        else:
            self.unsent += (header, *pieces)

    def flush(self) -> None:
        """Send what the socket takes now. Raises: OSError when it is full, or broken."""
        unsent = self.unsent
        while unsent:
            sent = self.socket.sendmsg(islice(unsent, PIECES_MAX))
            while unsent and sent >= len(unsent[0]):
                sent -= len(unsent.popleft())
            if sent:
                unsent[0] = memoryview(unsent[0])[sent:]

    def receive(self) -> Iterator[bytes | memoryview]:
        """Yield the body of each complete frame that has come.

        Raises: OSError when the connection is over; ProtocolError.
        """
        while True:
            space = self.reader.space()
            try:
                count = self.socket.recv_into(space)
            except BlockingIOError:
                return
            if not count:
                raise ConnectionResetError("the node has closed the connection")
            self.reader.advance(count)
            yield from self.reader.bodies()
            if count < len(space):
                return


class NodeLinks:
    """All links of one executor."""

    def __init__(self, connections: Connections, wake: socket.socket) -> None:
        """`wake` becomes readable when the thread shall look at what is new."""
        self._connections = connections
        self._wake = wake
        self._links: dict[NodeId, _Link] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake, selectors.EVENT_READ, None)

    def open_all(
        self, nodes: Iterable[NodeView], lock: AbstractContextManager[object]
    ) -> set[NodeId]:
        """Link to those that have workers, which may take long; return which are linked.

        `lock` is taken for what is not dialling.
        """
        linked: set[NodeId] = set()
        for node in nodes:
            node_id = NodeId(node.id)
            if not node.workers:
                continue
            if node_id not in self._links:
                sock = self._dial(node)
                if sock is None:
                    continue
                with lock:
                    link = self._links[node_id] = _Link(node_id, sock)
                    self._selector.register(sock, selectors.EVENT_READ, link)
            linked.add(node_id)
        return linked

    def put(self, node_id: NodeId, message: TaskRequest) -> bool:
        """Queue a message for `flush`; False when there is no link."""
        link = self._links.get(node_id)
        if link is None:
            return False
        link.put(pieces_of(message))
        return True

    def flush(self) -> bool:
        """Send what the sockets take now; return whether that was all.

        A link that is broken is found so by `receive`.
        """
        is_all = True
        for link in self._links.values():
            if link.unsent:
                with contextlib.suppress(OSError):  # Full, or broken.
                    link.flush()
                is_all = is_all and not link.unsent
                self._watch(link)
        return is_all

    def wait(self, timeout_s: float) -> Ready:
        """Wait for something to happen, at most `timeout_s`."""
        return self._selector.select(timeout_s)

    def receive(self, ready: Ready) -> list[LinkEvent]:
        """Return what nodes have sent."""
        found: list[LinkEvent] = []
        for key, events in ready:
            link: _Link | None = key.data
            if link is None:
                self._drain_wake()
            elif events & selectors.EVENT_READ and link.node_id in self._links:
                self._receive(link, found)
        return found

    def drop_all(self) -> None:
        """Close all links."""
        for link in list(self._links.values()):
            self._drop(link)

    def close(self) -> None:
        """Close everything."""
        self.drop_all()
        self._selector.close()

    def _dial(self, node: NodeView) -> socket.socket | None:
        gateway = self._connections.gateway_of(node.id, Address(node.host, node.port))
        try:
            connection = self._connections.dial(gateway, Purpose.CONTROL)
        except (ConnectError, AuthenticationError, ProtocolError):
            return None
        if connection.node_id != node.id:
            connection.close()
            return None
        connection.socket.setblocking(False)
        return connection.socket

    def _receive(self, link: _Link, found: list[LinkEvent]) -> None:
        try:
            for body in link.receive():
                # A small one is overwritten by what comes next, and payloads are not copied.
                body = body if len(body) > JOIN_BYTES_MAX else bytes(body)
                message = decode_client_reply(body)
                if isinstance(message, TaskEnded | TaskStarted):
                    found.append(LinkEvent(link.node_id, message))
        except (OSError, ProtocolError):
            self._drop(link)
            found.append(LinkEvent(link.node_id, None))

    def _watch(self, link: _Link) -> None:
        """Be woken when the socket takes more, if there is more."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if link.unsent else 0)
        if events != link.events:
            link.events = events
            self._selector.modify(link.socket, events, link)

    def _drop(self, link: _Link) -> None:
        if self._links.pop(link.node_id, None) is not None:
            self._selector.unregister(link.socket)
            link.socket.close()

    def _drain_wake(self) -> None:
        try:
            while self._wake.recv(4096):
                pass
        except BlockingIOError:
            return
