"""An executor's connections to the nodes that run its tasks, served by one thread.

Not here: which task goes where (``executor/submissions.py``).
"""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from grid.client.connections import Connections
from grid.errors import AuthenticationError, ConnectError, ProtocolError
from grid.executor.messages import RunTask, TaskEnded
from grid.types import Address, NodeId
from grid.wire.catalog import decode_client_reply, encode
from grid.wire.control import NodeView
from grid.wire.frame import FrameSplitter, frame
from grid.wire.handshake import Purpose

RECEIVE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class LinkEvent:
    """What came from a node; `message` None: the connection is gone."""

    node_id: NodeId
    message: TaskEnded | None


class _Link:
    """One connection. Unsent bytes are bounded by the slots a submitter uses on a node."""

    def __init__(self, node_id: NodeId, sock: socket.socket) -> None:
        self.node_id = node_id
        self.socket = sock
        self.splitter = FrameSplitter()
        self.unsent = bytearray()


class NodeLinks:
    """All links of one executor. Used by its I/O thread only."""

    def __init__(self, connections: Connections, wake: socket.socket) -> None:
        """`wake` becomes readable when the thread shall look at its inbox."""
        self._connections = connections
        self._wake = wake
        self._links: dict[NodeId, _Link] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(wake, selectors.EVENT_READ, None)

    def open(self, node: NodeView) -> bool:
        """Make sure there is a link to `node`; False when it cannot be reached now."""
        node_id = NodeId(node.id)
        if node_id in self._links:
            return True
        gateway = self._connections.gateway_of(node.id, Address(node.host, node.port))
        try:
            connection = self._connections.dial(gateway, Purpose.CONTROL)
        except (ConnectError, AuthenticationError, ProtocolError):
            return False
        if connection.node_id != node_id:
            connection.close()
            return False
        connection.socket.setblocking(False)
        link = self._links[node_id] = _Link(node_id, connection.socket)
        self._selector.register(link.socket, selectors.EVENT_READ, link)
        return True

    def send(self, node_id: NodeId, message: RunTask) -> bool:
        """Send a task; False when the link is gone."""
        link = self._links.get(node_id)
        if link is None:
            return False
        link.unsent += frame(encode(message))
        return self._flush(link)

    def wait(self, timeout_s: float) -> Iterator[LinkEvent]:
        """Wait for something to happen, at most `timeout_s`, and yield what nodes sent."""
        for key, events in self._selector.select(timeout_s):
            link: _Link | None = key.data
            if link is None:
                self._drain_wake()
                continue
            if events & selectors.EVENT_WRITE and not self._flush(link):
                yield LinkEvent(link.node_id, None)
                continue
            if events & selectors.EVENT_READ:
                yield from self._receive(link)

    def close(self) -> None:
        """Close everything."""
        for link in list(self._links.values()):
            self._drop(link)
        self._selector.close()

    def _receive(self, link: _Link) -> Iterator[LinkEvent]:
        try:
            data = link.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(link)
            yield LinkEvent(link.node_id, None)
            return
        try:
            for body in link.splitter.feed(data):
                message = decode_client_reply(body)
                if isinstance(message, TaskEnded):
                    yield LinkEvent(link.node_id, message)
        except ProtocolError:
            self._drop(link)
            yield LinkEvent(link.node_id, None)

    def _flush(self, link: _Link) -> bool:
        try:
            sent = link.socket.send(link.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(link)
            return False
        del link.unsent[:sent]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if link.unsent else 0)
        self._selector.modify(link.socket, events, link)
        return True

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
