"""What a search may meet: nodes that let one in, refuse or stay silent, and beacons of nodes."""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import NamedTuple

import pytest

from grid.errors import ProtocolError
from grid.membership.messages import Beacon, MemberRecord, MembershipMessage, MemberState
from grid.transport.multicast import MulticastSockets
from grid.types import NODE_ID_BYTES, Address, NodeId
from grid.wire.catalog import decode_client_request, encode
from grid.wire.control import View, ViewWanted
from grid.wire.datagram import DatagramSealer
from grid.wire.handshake import Verdict
from grid.wire.security import ClusterKeys
from tests.transport.servers import KEYS, NODE_ID, PATIENCE_S, read_exactly, shake_hands

LOOPBACK = "127.0.0.1"
CLUSTER = "grid"
"""The name in `KEYS`."""

NAMES = itertools.count(1)

Finals = Sequence[Verdict]


class Group(NamedTuple):
    """Where the beacons of one test go."""

    name: str
    port: int


def beacon_from(port: int, hosts: tuple[str, ...] = (LOOPBACK,)) -> Beacon:
    """Return the beacon of a node that answers there."""
    node_id = secrets.token_bytes(NODE_ID_BYTES)
    record = MemberRecord(node_id, "n", hosts, port, 1, 1, 1, 1, MemberState.ALIVE)
    return Beacon(record, 1, b"")


class Announcer:
    """Sends as a node of the cluster with these keys would, on loopback alone."""

    def __init__(self, group: Group, keys: ClusterKeys = KEYS) -> None:
        self._sockets = MulticastSockets(*group)
        self._sockets.refresh([LOOPBACK])
        self._sealer = DatagramSealer(keys, NodeId(secrets.token_bytes(NODE_ID_BYTES)))

    def send(self, message: MembershipMessage) -> bytes:
        """Seal and send; return the datagram."""
        datagram = self._sealer.seal(encode(message))
        self.send_bytes(datagram)
        return datagram

    def send_bytes(self, datagram: bytes) -> None:
        """Send whatever it is."""
        self._sockets.send(datagram)

    def close(self) -> None:
        """Close the sockets."""
        self._sockets.close()


@contextlib.contextmanager
def announcing(group: Group, beacon: Beacon, keys: ClusterKeys = KEYS) -> Iterator[None]:
    """Send the beacon again and again for the length of a ``with`` block."""
    is_over = threading.Event()

    def announce() -> None:
        with closing(Announcer(group, keys)) as announcer:
            while not is_over.wait(0.05):
                announcer.send(beacon)

    thread = threading.Thread(target=announce)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(PATIENCE_S)


def serve_view(sock: socket.socket, cluster: str, verdict: Verdict, final: Verdict) -> None:
    """Play a node on one connection: the handshake, and the answer to one question."""
    shake_hands(sock, verdict=verdict, final=final)
    if final is not Verdict.WELCOME:
        return
    length = int.from_bytes(read_exactly(sock, 4), "big")
    request = decode_client_request(read_exactly(sock, length))
    assert isinstance(request, ViewWanted)
    body = encode(View(request.request, cluster, KEYS.key_tag, NODE_ID, [], None))
    sock.sendall(len(body).to_bytes(4, "big") + body)


@contextlib.contextmanager
def accepting(listener: socket.socket, serve: Callable[[socket.socket], None]) -> Iterator[None]:
    """Let `serve` play a node on each connection; whoever asks nothing is forgotten."""

    def run() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:  # It was shut down: the test is over.
                return
            with sock, contextlib.suppress(OSError, ProtocolError):
                sock.settimeout(PATIENCE_S)
                serve(sock)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE_S)
        listener.close()


@contextlib.contextmanager
def tcp_node(*, first: Finals = ()) -> Iterator[Address]:
    """Run a node of `CLUSTER` on a free port; it ends its first handshakes with `first`."""
    finals = itertools.chain(first, itertools.repeat(Verdict.WELCOME))
    listener = socket.create_server((LOOPBACK, 0))

    def serve(sock: socket.socket) -> None:
        # One that only looks whether anybody is there takes no verdict away.
        if sock.recv(1, socket.MSG_PEEK):
            serve_view(sock, CLUSTER, Verdict.CHALLENGE, next(finals))

    with accepting(listener, serve):
        yield Address(*listener.getsockname())


@contextlib.contextmanager
def local_node(monkeypatch: pytest.MonkeyPatch, cluster: str = CLUSTER) -> Iterator[int]:
    """Run a node on a unix socket that only this process takes for a node's; yield its port."""
    names = f"\0grid-test-{os.getpid()}-"
    monkeypatch.setattr("grid.transport.blocking.socket_name", lambda port: f"{names}{port}")
    port = next(NAMES)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{names}{port}")
    listener.listen()
    with accepting(
        listener, lambda sock: serve_view(sock, cluster, Verdict.TRUSTED, Verdict.WELCOME)
    ):
        yield port


@contextlib.contextmanager
def nobody() -> Iterator[Address]:
    """Yield an address that refuses connections for as long as the block lasts."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind((LOOPBACK, 0))  # Taken, and yet nobody listens.
        yield Address(*sock.getsockname())


@contextlib.contextmanager
def silent_node() -> Iterator[Address]:
    """Yield an address that takes connections and never says a word."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        yield Address(*listener.getsockname())
