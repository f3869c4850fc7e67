"""A blocking caller's requests and replies: waiting on, spinning, pieces, and what is left over."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from grid.errors import ProtocolError
from grid.transport.blocking import BlockingConnection, NothingYetError, NotSentError
from grid.wire.frame import FRAME_BYTES_MAX, JOIN_BYTES_MAX, frame

from .servers import NODE_ID, PATIENCE_S, read_exactly

SOON_S = 0.05
SPINS_S = [0.0, 1e-9, PATIENCE_S]

Pair = tuple[BlockingConnection, socket.socket]


@pytest.fixture(name="pair")
def fixture_pair() -> Iterator[Pair]:
    near, far = socket.socketpair()
    connection = BlockingConnection(near, NODE_ID)
    connection.set_timeout(PATIENCE_S)
    far.settimeout(PATIENCE_S)
    with near, far:
        yield connection, far


@contextlib.contextmanager
def answering(far: socket.socket, answer: Callable[[bytes], bytes]) -> Iterator[None]:
    """Answer one frame with the bytes that `answer` makes of its body."""

    def run() -> None:
        size = int.from_bytes(read_exactly(far, 4), "big")
        far.sendall(answer(read_exactly(far, size)))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(PATIENCE_S)
    assert not thread.is_alive()


@pytest.mark.parametrize("spin_s", SPINS_S)
@pytest.mark.parametrize(
    "size", [0, 1, 1_000, 65_531, JOIN_BYTES_MAX, JOIN_BYTES_MAX + 1, 3_000_000]
)
def test_exchange_returns_the_reply_of_any_size(size: int, spin_s: float, pair: Pair) -> None:
    connection, far = pair
    body = random.Random(size).randbytes(size)
    with answering(far, lambda asked: frame(asked[::-1])):
        assert connection.exchange(body, spin_s) == body[::-1]
    assert connection.is_quiet()


def test_large_reply_is_a_view_on_a_buffer_of_its_size(pair: Pair) -> None:
    connection, far = pair
    with answering(far, lambda asked: frame(bytes(3_000_000))):
        reply = connection.exchange(b"request")
    assert isinstance(reply, memoryview)
    assert isinstance(reply.obj, bytearray)
    assert len(reply) == len(reply.obj) == 3_000_000


@pytest.mark.parametrize("spin_s", SPINS_S)
def test_closed_connection_is_reset_for_who_exchanges(spin_s: float, pair: Pair) -> None:
    connection, far = pair
    far.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError, match="the node has closed the connection"):
        connection.exchange(b"request", spin_s)


def test_second_frame_that_came_along_is_kept_for_later(pair: Pair) -> None:
    connection, far = pair
    with answering(far, lambda asked: frame(b"reply") + frame(b"more") + frame(b"and more")):
        assert connection.exchange(b"request") == b"reply"
    assert not connection.is_quiet()
    assert connection.exchange(b"another") == b"more"
    assert connection.receive_frame() == b"and more"
    assert connection.is_quiet()


@pytest.mark.parametrize("length", [FRAME_BYTES_MAX + 1, 2**32 - 1])
def test_reply_of_an_impossible_length_is_refused(length: int, pair: Pair) -> None:
    connection, far = pair
    with (
        answering(far, lambda asked: length.to_bytes(4, "big")),
        pytest.raises(ProtocolError, match=f"frame of {length} bytes exceeds"),
    ):
        connection.exchange(b"request")


@pytest.mark.parametrize("spin_s", [0.0, 1e-9, 0.01])
@pytest.mark.parametrize("size", [7, 3_000_000])
def test_one_can_go_on_waiting_when_nothing_has_come_yet(
    size: int, spin_s: float, pair: Pair
) -> None:
    connection, far = pair
    connection.set_timeout(SOON_S)
    with pytest.raises(NothingYetError):
        connection.exchange(b"request", spin_s)
    for _ in range(2):
        with pytest.raises(NothingYetError, match="the node does not answer"):
            connection.receive_frame()
    assert connection.is_quiet()
    connection.set_timeout(PATIENCE_S)
    with answering(far, lambda asked: frame(asked * size)):
        assert connection.receive_frame() == b"request" * size
    with answering(far, lambda asked: frame(asked)):
        assert connection.exchange(b"next") == b"next"


@pytest.mark.parametrize("sent", [b"\x00\x00", frame(b"whole")[:-1], frame(bytes(100_000))[:-1]])
def test_reply_that_stops_in_the_middle_is_no_reply_to_wait_for(sent: bytes, pair: Pair) -> None:
    connection, far = pair
    connection.set_timeout(SOON_S)
    far.sendall(sent)
    with pytest.raises(TimeoutError) as caught:
        connection.exchange(b"request")
    assert not isinstance(caught.value, NothingYetError)


@pytest.mark.parametrize("size", [10, JOIN_BYTES_MAX + 1])
def test_node_that_does_not_read_is_a_timeout_for_who_exchanges(size: int, pair: Pair) -> None:
    connection, _ = pair
    connection.set_timeout(SOON_S)
    with contextlib.suppress(BlockingIOError):
        while True:
            connection.socket.send(bytes(size), socket.MSG_DONTWAIT)
    with pytest.raises(NotSentError, match="does not take what is sent"):
        connection.exchange(bytes(size))


@pytest.mark.parametrize("sizes", [[0], [3], [1, 2, 3], [0, 5], [10, 2_000_000], [70_000, 70_000]])
def test_pieces_are_one_frame(sizes: list[int], pair: Pair) -> None:
    connection, far = pair
    pieces = [bytes([index]) * size for index, size in enumerate(sizes)]
    with answering(far, frame):
        connection.send_pieces(pieces)
        assert connection.receive_frame() == b"".join(pieces)


def test_pieces_that_nobody_reads_time_out(pair: Pair) -> None:
    connection, _ = pair
    connection.set_timeout(SOON_S)
    with pytest.raises(NotSentError, match="does not take what is sent"):
        connection.send_pieces((b"head", bytes(32 << 20)))


class TestQuiet:
    def test_open_connection_is_quiet(self, pair: Pair) -> None:
        assert pair[0].is_quiet()

    def test_asking_takes_nothing_away(self, pair: Pair) -> None:
        connection, far = pair
        far.sendall(frame(b"unasked"))
        assert [connection.is_quiet(), connection.is_quiet()] == [False, False]
        assert connection.receive_frame() == b"unasked"
        assert connection.is_quiet()

    def test_closed_connection_is_not_quiet(self, pair: Pair) -> None:
        connection, far = pair
        far.close()
        assert not connection.is_quiet()
        connection.close()
        assert not connection.is_quiet()
