"""Frames of a blocking connection: any pieces, any size, and connections that fail."""

from __future__ import annotations

import random
import socket
import threading
from collections.abc import Iterator
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.errors import ProtocolError
from grid.transport.blocking import BlockingConnection, NotSentError
from grid.wire.frame import FRAME_BYTES_MAX, frame

from .servers import NODE_ID, PATIENCE_S

SOON_S = 0.05


class PiecesSocket:
    """Gives its receiver the pieces one by one, as a network may."""

    def sendall(self, data: bytes) -> None:
        raise AssertionError("nothing is sent here")

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def recv(self, size: int) -> bytes:
        """Return the next piece, or its beginning."""
        if not self._pieces:
            return b""
        piece = self._pieces[0]
        self._pieces[:1] = [piece[size:]] if len(piece) > size else []
        return piece[:size]

    def recv_into(self, view: memoryview) -> int:
        """Fill `view` as far as the next piece goes."""
        piece = self.recv(len(view))
        view[: len(piece)] = piece
        return len(piece)


def connection_to(pieces: list[bytes]) -> BlockingConnection:
    return BlockingConnection(cast(socket.socket, PiecesSocket(pieces)), NODE_ID)


@pytest.fixture(name="pair")
def fixture_pair() -> Iterator[tuple[BlockingConnection, socket.socket]]:
    near, far = socket.socketpair()
    connection = BlockingConnection(near, NODE_ID)
    connection.set_timeout(PATIENCE_S)
    with near, far:
        yield connection, far


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=6), st.data())
@settings(derandomize=True, deadline=None, max_examples=300)
def test_any_cutting_gives_the_same_frames(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frame(body) for body in bodies)
    inner = st.lists(st.integers(1, len(stream) - 1), max_size=10, unique=True)
    cuts = sorted(data.draw(inner))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    connection = connection_to(pieces)
    assert [connection.receive_frame() for _ in bodies] == bodies
    with pytest.raises(ConnectionResetError):
        connection.receive_frame()


def test_large_frame_arrives_in_pieces_with_small_ones_around_it() -> None:
    generator = random.Random(1)
    large = generator.randbytes(3_000_000)
    stream = frame(b"before") + frame(large) + frame(b"") + frame(b"after")
    pieces: list[bytes] = []
    while stream:
        size = generator.randrange(1, 200_000)
        pieces.append(stream[:size])
        stream = stream[size:]
    connection = connection_to(pieces)
    assert [connection.receive_frame() for _ in range(4)] == [b"before", large, b"", b"after"]


def test_large_frames_cross_a_real_socket_both_ways(
    pair: tuple[BlockingConnection, socket.socket],
) -> None:
    connection, far = pair
    body = random.Random(2).randbytes(5_000_000)
    peer = BlockingConnection(far, NODE_ID)

    def answer() -> None:
        peer.send_frame(bytes(peer.receive_frame()))

    thread = threading.Thread(target=answer)
    thread.start()
    connection.send_frame(body)
    assert connection.receive_frame() == body
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


@pytest.mark.parametrize("length", [FRAME_BYTES_MAX + 1, 2**32 - 1])
def test_impossible_length_is_refused_before_anything_is_reserved(length: int) -> None:
    connection = connection_to([length.to_bytes(4, "big") + b"x"])
    with pytest.raises(ProtocolError, match=f"frame of {length} bytes exceeds"):
        connection.receive_frame()


@pytest.mark.parametrize("sent", [b"", b"\x00\x00", b"\x00\x00\x00\x05abcd", frame(b"a") + b"\x00"])
def test_connection_closed_in_the_middle_is_reset(sent: bytes) -> None:
    connection = connection_to([sent] if sent else [])
    for _ in range(sent.startswith(frame(b"a"))):
        assert connection.receive_frame() == b"a"
    with pytest.raises(ConnectionResetError, match="the node has closed the connection"):
        connection.receive_frame()


@pytest.mark.parametrize("sent", [b"", b"\x00\x00", b"\x00\x00\x00\x05abcd"])
def test_node_that_does_not_answer_times_out(
    sent: bytes, pair: tuple[BlockingConnection, socket.socket]
) -> None:
    connection, far = pair
    far.sendall(sent)
    connection.set_timeout(SOON_S)
    with pytest.raises(TimeoutError, match="the node does not answer"):
        connection.receive_frame()


def test_node_that_does_not_read_times_out(
    pair: tuple[BlockingConnection, socket.socket],
) -> None:
    connection, _ = pair
    connection.set_timeout(SOON_S)
    with pytest.raises(NotSentError, match="does not take what is sent"):
        connection.send_frame(bytes(32 << 20))


def test_timeout_of_zero_or_less_does_not_mean_for_ever(
    pair: tuple[BlockingConnection, socket.socket],
) -> None:
    connection, _ = pair
    for timeout_s in (0.0, -1.0):
        connection.set_timeout(timeout_s)
        with pytest.raises(TimeoutError):
            connection.receive_frame()


def test_sending_to_a_closed_node_fails(pair: tuple[BlockingConnection, socket.socket]) -> None:
    connection, far = pair
    far.close()
    with pytest.raises(NotSentError):
        connection.send_frame(b"x")


def test_closed_connection_cannot_be_used(pair: tuple[BlockingConnection, socket.socket]) -> None:
    connection, far = pair
    connection.close()
    assert far.recv(1) == b""
    with pytest.raises(OSError, match="Bad file descriptor"):
        connection.receive_frame()
