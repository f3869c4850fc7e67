"""Connections of a blocking caller: dial, prove the secret, exchange frames. No event loop.

Deadlines are the kernel's (SO_RCVTIMEO, SO_SNDTIMEO): a Python socket time-out would cost a
poll before every receive.
"""

from __future__ import annotations

import socket
import struct
import time

from grid.errors import AuthenticationError, ConnectError, ProtocolError
from grid.transport.unix import is_trusted, socket_name
from grid.types import Address, NodeId
from grid.wire.frame import FRAME_BYTES_MAX, HEADER_BYTES, JOIN_BYTES_MAX
from grid.wire.handshake import (
    ANSWER_BYTES,
    WELCOME_BYTES,
    Hello,
    Purpose,
    Verdict,
    check_welcome,
    client_proof,
    unpack_answer,
)
from grid.wire.security import ClusterKeys

RECEIVE_BYTES = 64 * 1024
"""Below malloc's mmap threshold of 128 KiB: a larger buffer is mapped and unmapped each time."""


class BlockingConnection:
    """One authenticated connection; not thread-safe, its owner locks."""

    def __init__(self, sock: socket.socket, node_id: NodeId) -> None:
        """Take over a connected socket whose handshake is done."""
        self.socket = sock
        self.node_id = node_id
        self._buffer = b""
        self._send_all = sock.sendall
        self._receive_some = sock.recv

    def set_timeout(self, timeout_s: float) -> None:
        """Bound each later wait of a send or receive."""
        _set_kernel_timeouts(self.socket, timeout_s)

    def exchange(self, body: bytes) -> bytes:
        """Send one frame and return the next one's body: a request and its reply.

        In one piece for the usual case (small request, reply in one read): after the sleep in
        between the caches are cold, and every further call costs microseconds.

        Raises: as `send_frame` and `receive_frame`.
        """
        if len(body) > JOIN_BYTES_MAX or self._buffer:
            self.send_frame(body)
            return self.receive_frame()
        try:
            self._send_all(len(body).to_bytes(HEADER_BYTES, "big") + body)
            data = self._receive_some(RECEIVE_BYTES)
        except BlockingIOError as error:
            raise TimeoutError("the node does not answer") from error
        length = len(data) - HEADER_BYTES
        if length >= 0 and int.from_bytes(data[:HEADER_BYTES], "big") == length:
            return data[HEADER_BYTES:]
        if not data:
            raise ConnectionResetError("the node has closed the connection")
        self._buffer = data
        return self.receive_frame()

    def send_frame(self, body: bytes) -> None:
        """Send one frame; a large body is not copied just to put its length in front.

        Raises: OSError when the connection is gone; TimeoutError.
        """
        try:
            if len(body) <= JOIN_BYTES_MAX:
                self._send_all(len(body).to_bytes(HEADER_BYTES, "big") + body)
            else:
                self._send_all(len(body).to_bytes(HEADER_BYTES, "big"), socket.MSG_MORE)
                self._send_all(body)
        except BlockingIOError as error:
            raise TimeoutError("the node does not take what is sent") from error

    def receive_frame(self) -> bytes:
        """Return the next frame's body.

        Raises: OSError (ConnectionResetError when closed); TimeoutError; ProtocolError for an
            impossible length.
        """
        data = self._buffer or self._receive(RECEIVE_BYTES)
        while len(data) < HEADER_BYTES:
            data += self._receive(RECEIVE_BYTES)
        length = int.from_bytes(data[:HEADER_BYTES], "big")
        if length > FRAME_BYTES_MAX:
            raise ProtocolError(f"a frame of {length} bytes exceeds the {FRAME_BYTES_MAX} allowed")
        end = HEADER_BYTES + length
        if len(data) < end:
            data = self._receive_rest(data, end)
        self._buffer = data[end:]
        return data[HEADER_BYTES:end]

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def _receive(self, size: int) -> bytes:
        try:
            data = self._receive_some(size)
        except BlockingIOError as error:
            raise TimeoutError("the node does not answer") from error
        if not data:
            raise ConnectionResetError("the node has closed the connection")
        return data

    def _receive_rest(self, data: bytes, end: int) -> bytes:
        """Receive a large frame into one buffer, without quadratic joining."""
        whole = bytearray(end)
        whole[: len(data)] = data
        view = memoryview(whole)
        filled = len(data)
        while filled < end:
            try:
                count = self.socket.recv_into(view[filled:])
            except BlockingIOError as error:
                raise TimeoutError("the node does not answer") from error
            if count == 0:
                raise ConnectionResetError("the node has closed the connection")
            filled += count
        return bytes(whole)


def connect(
    target: Address | int,
    keys: ClusterKeys | None,
    purpose: Purpose,
    *,
    index: int = 0,
    timeout_s: float,
) -> BlockingConnection:
    """Connect to a node and prove the secret to each other.

    Args:
        target: an address, or the port of a local node to reach by its unix socket.
        keys: the cluster's keys; None only for a unix socket.
        purpose: what the connection is for.
        index: the storage process wanted.
        timeout_s: for the whole of it.

    Raises: ConnectError when nobody answers there; AuthenticationError; ProtocolError.
    """
    deadline_s = time.monotonic() + timeout_s
    is_local = isinstance(target, int)
    family = socket.AF_UNIX if is_local else socket.AF_INET
    where = f"local port {target}" if isinstance(target, int) else str(target)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        _set_kernel_timeouts(sock, timeout_s)
        sock.connect(socket_name(target) if isinstance(target, int) else target)
        if not is_local:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        elif not is_trusted(sock):
            raise AuthenticationError(f"the node on {where} runs as another user")
        node_id = _shake_hands(sock, keys, Hello.create(purpose, index), where, deadline_s)
    except OSError as error:
        sock.close()
        reason = "it does not answer" if isinstance(error, BlockingIOError) else error.strerror
        raise ConnectError(f"no connection to {where}: {reason or error}") from error
    except BaseException:
        sock.close()
        raise
    return BlockingConnection(sock, node_id)


def _shake_hands(
    sock: socket.socket, keys: ClusterKeys | None, hello: Hello, where: str, deadline_s: float
) -> NodeId:
    sock.sendall(hello.pack())
    answer = unpack_answer(_receive_exactly(sock, ANSWER_BYTES, deadline_s))
    server = Address("", 0)
    is_unix = sock.family == socket.AF_UNIX
    if answer.verdict is not (Verdict.TRUSTED if is_unix else Verdict.CHALLENGE):
        raise ProtocolError(f"{where} answers {answer.verdict.name}")
    if not is_unix:
        if keys is None:
            raise AuthenticationError(
                f"{where} wants the cluster's secret and none is configured: name the cluster.toml "
                "that has it (--config, config= or $GRID_CONFIG)"
            )
        server = Address(*sock.getpeername())
        sock.sendall(client_proof(keys, hello, answer, server))
    welcome = _receive_exactly(sock, WELCOME_BYTES, deadline_s)
    check_welcome(welcome, keys, hello, answer, server, where)
    return answer.node_id


def _receive_exactly(sock: socket.socket, size: int, deadline_s: float) -> bytes:
    """Receive `size` bytes; the deadline is for all of them, however they trickle in."""
    data = b""
    while len(data) < size:
        _set_kernel_timeouts(sock, deadline_s - time.monotonic())
        piece = sock.recv(size - len(data))
        if not piece:
            raise ConnectionResetError("the connection ended in the handshake")
        data += piece
        if time.monotonic() > deadline_s:
            raise BlockingIOError("the handshake takes too long")
    return data


def _set_kernel_timeouts(sock: socket.socket, timeout_s: float) -> None:
    timeout_s = max(timeout_s, 0.001)
    value = struct.pack("ll", int(timeout_s), int(timeout_s % 1 * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)
