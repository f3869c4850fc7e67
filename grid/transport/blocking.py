"""Connections of a blocking caller: dial, prove the secret, exchange frames. No event loop.

Deadlines are the kernel's (SO_RCVTIMEO, SO_SNDTIMEO): a Python socket time-out would cost a
poll before every receive.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Sequence

from grid.errors import AuthenticationError, ConnectError, ProtocolError
from grid.transport.unix import is_trusted, socket_name
from grid.types import Address, NodeId, Payload
from grid.wire.frame import FRAME_BYTES_MAX, HEADER_BYTES, JOIN_BYTES_MAX
from grid.wire.handshake import (
    ANSWER_BYTES,
    CONNECT_PATIENCE_S,
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


class NothingYetError(TimeoutError):
    """Nothing has come so far; one may go on waiting by `receive_frame`."""


class NotSentError(OSError):
    """A frame was not sent whole, so it cannot have been carried out."""


class BlockingFrames:
    """Frames over a connected socket; sending and receiving may be in two threads.

    Without `set_timeout` it waits for as long as the other side is there.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Take over a connected socket."""
        self.socket = sock
        self._buffer = b""
        self._send_all = sock.sendall
        self._receive_some = sock.recv

    def set_timeout(self, timeout_s: float) -> None:
        """Bound each later wait of a send or receive."""
        _set_kernel_timeouts(self.socket, timeout_s)

    def send_frame(self, body: bytes) -> None:
        """Send one frame; a large body is not copied just to put its length in front.

        Raises: NotSentError when the connection is gone, or nothing was taken for the time-out.
        """
        if len(body) > JOIN_BYTES_MAX:
            self.send_pieces((body,))
        else:
            self._send(len(body).to_bytes(HEADER_BYTES, "big") + body)

    def send_pieces(self, pieces: Sequence[Payload]) -> None:
        """Send one frame whose body is these pieces, one after the other.

        Raises: as `send_frame`.
        """
        length = sum(map(len, pieces))
        buffers = [length.to_bytes(HEADER_BYTES, "big"), *pieces]
        try:
            sent = self.socket.sendmsg(buffers)
        except BlockingIOError as error:
            raise NotSentError("the node does not take what is sent") from error
        except OSError as error:
            raise NotSentError(str(error)) from error
        for buffer in buffers:  # What is left when a signal or the time-out came in between.
            if sent < len(buffer):
                self._send(memoryview(buffer)[sent:])
            sent = max(0, sent - len(buffer))

    def receive_frame(self) -> bytes | memoryview:
        """Return the next frame's body; a large one as a view on a buffer of its own.

        Raises: OSError (ConnectionResetError when closed); NothingYetError; TimeoutError when
            the rest of a frame does not come; ProtocolError for an impossible length.
        """
        data = self._buffer
        if not data:
            try:
                data = self._receive(RECEIVE_BYTES)
            except TimeoutError as error:
                raise NothingYetError("the node does not answer") from error
        self._buffer = b""
        while len(data) < HEADER_BYTES:
            data += self._receive(RECEIVE_BYTES)
        length = int.from_bytes(data[:HEADER_BYTES], "big")
        if length > FRAME_BYTES_MAX:
            raise ProtocolError(f"a frame of {length} bytes exceeds the {FRAME_BYTES_MAX} allowed")
        end = HEADER_BYTES + length
        if len(data) < end:
            return self._receive_rest(data[HEADER_BYTES:], length)
        self._buffer = data[end:]
        return data[HEADER_BYTES:end]

    @property
    def is_open(self) -> bool:
        """Whether `close` was not called."""
        return self.socket.fileno() >= 0

    def close(self) -> None:
        """Close the socket."""
        self.socket.close()

    def _send(self, data: Payload) -> None:
        try:
            self._send_all(data)
        except BlockingIOError as error:
            raise NotSentError("the node does not take what is sent") from error
        except OSError as error:
            raise NotSentError(str(error)) from error

    def _receive(self, size: int) -> bytes:
        try:
            data = self._receive_some(size)
        except BlockingIOError as error:
            raise TimeoutError("the node does not answer") from error
        if not data:
            raise ConnectionResetError("the node has closed the connection")
        return data

    def _receive_rest(self, data: bytes, length: int) -> memoryview:
        """Receive a large body into one buffer of its size."""
        whole = memoryview(bytearray(length))
        filled = len(data)
        whole[:filled] = data
        while filled < length:
            try:
                count = self.socket.recv_into(whole[filled:])
            except BlockingIOError as error:
                raise TimeoutError("the node does not answer") from error
            if count == 0:
                raise ConnectionResetError("the node has closed the connection")
            filled += count
        return whole


class BlockingConnection(BlockingFrames):
    """One authenticated connection; not thread-safe."""

    def __init__(self, sock: socket.socket, node_id: NodeId) -> None:
        """Take over a connected socket whose handshake is done."""
        super().__init__(sock)
        self.node_id = node_id
        self.used_s = 0.0
        """A note of its owner's: when it was used last."""

    def exchange(self, body: bytes, spin_s: float = 0.0) -> bytes | memoryview:
        """Send one frame and return the next one's body: a request and its reply.

        In one piece for the usual case (small request, reply in one read): after the sleep in
        between the caches are cold, and every further call costs microseconds. For `spin_s`
        the reply is looked for without sleeping, which saves the time to be woken.

        Raises: as `send_frame` and `receive_frame`.
        """
        if len(body) > JOIN_BYTES_MAX or self._buffer:
            self.send_frame(body)
            return self.receive_frame()
        self._send(len(body).to_bytes(HEADER_BYTES, "big") + body)
        try:
            data = self._spin(spin_s) if spin_s else self._receive_some(RECEIVE_BYTES)
        except BlockingIOError as error:
            raise NothingYetError("the node does not answer") from error
        length = len(data) - HEADER_BYTES
        if length >= 0 and int.from_bytes(data[:HEADER_BYTES], "big") == length:
            return data[HEADER_BYTES:]
        if not data:
            raise ConnectionResetError("the node has closed the connection")
        self._buffer = data
        return self.receive_frame()

    def is_quiet(self) -> bool:
        """Whether the connection is open and nothing has come that nobody waits for."""
        if self._buffer:
            return False
        try:
            self._receive_some(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def _spin(self, spin_s: float) -> bytes:
        """Look for data without sleeping for `spin_s`, then sleep."""
        until_s = time.perf_counter() + spin_s
        while time.perf_counter() < until_s:
            try:
                return self._receive_some(RECEIVE_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
        return self._receive_some(RECEIVE_BYTES)


def connect(
    target: Address | int,
    keys: ClusterKeys | None,
    purpose: Purpose,
    *,
    index: int = 0,
    client_id: bytes | None = None,
    timeout_s: float,
) -> BlockingConnection:
    """Connect to a node and prove the secret to each other.

    Args:
        target: an address, or the port of a local node to reach by its unix socket.
        keys: the cluster's keys; None only for a unix socket.
        purpose: what the connection is for.
        index: the storage process wanted.
        client_id: by what a storage process knows the client again; None: an id of its own.
        timeout_s: for the whole of it.

    Raises: ConnectError when nobody answers there; AuthenticationError; ProtocolError.
    """
    deadline_s = time.monotonic() + timeout_s
    is_local = isinstance(target, int)
    where = f"local port {target}" if isinstance(target, int) else str(target)
    try:
        sock = _connected(target, deadline_s)
        try:
            if not is_local:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            elif not is_trusted(sock):
                raise AuthenticationError(f"the node on {where} runs as another user")
            hello = Hello.create(purpose, index, client_id)
            node_id = _shake_hands(sock, keys, hello, where, deadline_s)
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        reason = "it does not answer" if isinstance(error, BlockingIOError) else error.strerror
        raise ConnectError(f"no connection to {where}: {reason or error}") from error
    return BlockingConnection(sock, node_id)


def _connected(target: Address | int, deadline_s: float) -> socket.socket:
    """Return a connected socket, after attempts with growing patience."""
    family = socket.AF_UNIX if isinstance(target, int) else socket.AF_INET
    patience_s = CONNECT_PATIENCE_S
    while True:
        left_s = deadline_s - time.monotonic()
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            _set_kernel_timeouts(sock, min(patience_s, left_s))
            sock.connect(socket_name(target) if isinstance(target, int) else target)
        except BaseException as error:
            sock.close()
            # The kernel's way to say that the time is over.
            if not isinstance(error, BlockingIOError) or left_s <= patience_s:
                raise
            patience_s *= 2
        else:
            _set_kernel_timeouts(sock, deadline_s - time.monotonic())
            return sock


def _shake_hands(
    sock: socket.socket, keys: ClusterKeys | None, hello: Hello, where: str, deadline_s: float
) -> NodeId:
    sock.sendall(hello.pack())
    try:
        answer = unpack_answer(_receive_exactly(sock, ANSWER_BYTES, deadline_s))
    except ProtocolError as error:
        raise ProtocolError(f"{where}: {error}") from error
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
