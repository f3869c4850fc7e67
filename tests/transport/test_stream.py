"""Frames on both event loops: asyncio's own, and uvloop as in the network process."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from grid.errors import AuthenticationError, ProtocolError
from grid.transport.stream import FrameStream, attach, dial, patiently, receive_exactly
from grid.types import Address, NodeId, Payload
from grid.wire.frame import FRAME_BYTES_MAX, frame
from grid.wire.handshake import PROOF_BYTES, Answer, Hello, Purpose, Verdict
from tests.wire.framing import Frames

from .servers import (
    KEYS,
    NODE_ID,
    OTHER_KEYS,
    PATIENCE_S,
    read_exactly,
    read_hello,
    says_nothing_more,
    shake_hands,
    tcp_server,
)

Run = Callable[[Coroutine[Any, Any, None]], None]
HELLO = Hello(Purpose.PEER, 0, b"c" * 16, b"n" * 16)


@pytest.fixture(name="run", params=[asyncio.new_event_loop, uvloop.new_event_loop])
def fixture_run(request: pytest.FixtureRequest) -> Run:
    def run(main: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(asyncio.wait_for(main, PATIENCE_S))

    return run


class Received:
    """What a stream has called back with; `None` in the queue is its end."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.stream = FrameStream(self.on_frame, lambda: self.queue.put_nowait(None))

    def on_frame(self, body: Payload) -> None:
        """Keep a frame; "bad" is one that the receiver cannot understand."""
        self.queue.put_nowait(bytes(body))
        if body == b"bad":
            raise ProtocolError("not a test message")

    async def take(self, count: int) -> list[bytes | None]:
        """Wait for `count` callbacks."""
        return [await self.queue.get() for _ in range(count)]


@asynccontextmanager
async def attached() -> AsyncIterator[tuple[Received, socket.socket]]:
    """One end as a stream, the other one raw."""
    near, far = socket.socketpair()
    far.setblocking(False)
    received = Received()
    await attach(near, received.stream)
    with far:
        yield received, far
        received.stream.abort()


async def send_raw(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def receive_frames(sock: socket.socket, count: int) -> list[bytes]:
    received = Frames()
    frames: list[bytes] = []
    while len(frames) < count:
        frames += received.feed(await asyncio.get_running_loop().sock_recv(sock, 65_536))
    return frames


def test_frames_small_and_large_arrive_in_order(run: Run) -> None:
    bodies = [b"", b"small", b"m" * 65_535, b"n" * 65_536, b"L" * 3_000_000, b"last"]

    async def main() -> None:
        async with attached() as (received, far):
            for body in bodies:
                received.stream.send(body)
            assert await receive_frames(far, len(bodies)) == bodies

    run(main())


def test_frames_cut_anywhere_are_put_together(run: Run) -> None:
    bodies = [b"one", b"", b"three" * 10]
    stream = b"".join(frame(body) for body in bodies)

    async def main() -> None:
        async with attached() as (received, far):
            for at in range(len(stream)):
                await send_raw(far, stream[at : at + 1])
                await asyncio.sleep(0)
            assert await received.take(3) == bodies

    run(main())


def test_two_streams_talk_over_tcp(run: Run) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
        left, right = Received(), Received()
        await attach(near, left.stream)
        await attach(far, right.stream)
        assert near.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        left.stream.send(b"question")
        assert await right.take(1) == [b"question"]
        right.stream.send(b"answer")
        right.stream.close()
        assert await left.take(2) == [b"answer", None]
        assert await right.take(1) == [None]

    run(main())


def test_end_is_reported_once_and_later_sends_are_ignored(run: Run) -> None:
    async def main() -> None:
        async with attached() as (received, far):
            was_open = received.stream.is_open
            far.close()
            assert await received.take(1) == [None]
            assert [was_open, received.stream.is_open] == [True, False]
            received.stream.send(b"nobody hears this")
            received.stream.close()
            received.stream.abort()
            await asyncio.sleep(0)
            assert received.queue.empty()
            assert received.stream.lost_reason is None

    run(main())


def test_closing_sends_what_is_queued_first(run: Run) -> None:
    body = b"q" * 4_000_000

    async def main() -> None:
        async with attached() as (received, far):
            received.stream.send(body)
            received.stream.close()
            assert not received.stream.is_open
            received.stream.send(b"too late")
            assert await receive_frames(far, 1) == [body]
            assert await asyncio.get_running_loop().sock_recv(far, 1) == b""
            assert await received.take(1) == [None]

    run(main())


def test_message_that_is_refused_ends_the_connection(run: Run) -> None:
    async def main() -> None:
        async with attached() as (received, far):
            await send_raw(far, frame(b"good") + frame(b"bad") + frame(b"never seen"))
            assert await received.take(3) == [b"good", b"bad", None]
            assert received.stream.lost_reason == "not a test message"
            assert await asyncio.get_running_loop().sock_recv(far, 1) == b""

    run(main())


def test_oversize_frame_ends_the_connection(run: Run) -> None:
    async def main() -> None:
        async with attached() as (received, far):
            await send_raw(far, frame(b"good") + (FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
            assert await received.take(2) == [b"good", None]
            assert "exceeds" in str(received.stream.lost_reason)

    run(main())


def test_reader_that_does_not_read_is_cut_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.transport.stream.WRITE_BUFFER_BYTES_MAX", 1_000_000)

    async def main() -> None:
        async with attached() as (received, _):
            for _ in range(50):
                received.stream.send(b"x" * 100_000)
            assert await received.take(1) == [None]
            assert received.stream.lost_reason == "it does not read what it is sent"

    run(main())


def test_who_is_behind_and_has_caught_up_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.transport.stream.BEHIND_BYTES", 1_000_000)

    async def main() -> None:
        told: asyncio.Queue[bool] = asyncio.Queue()
        near, far = socket.socketpair()
        far.setblocking(False)
        stream = FrameStream(lambda body: None, lambda: None, told.put_nowait)
        await attach(near, stream)
        with far:
            stream.send(b"x" * 900_000)
            assert told.empty()
            stream.send(b"x" * 900_000)
            assert await told.get()
            await receive_frames(far, 2)
            assert not await told.get()
            stream.abort()

    # asyncio's own loop does not tell on Python 3.12.0 to 3.13.1; network processes have uvloop.
    uvloop.run(asyncio.wait_for(main(), PATIENCE_S))


def test_stream_that_was_never_connected_does_nothing() -> None:
    stream = FrameStream(lambda body: None, lambda: None)
    stream.send(b"x")
    stream.close()
    stream.abort()
    assert not stream.is_open


def test_exactly_as_much_is_received_as_was_asked(run: Run) -> None:
    async def main() -> None:
        near, far = socket.socketpair()
        near.setblocking(False)
        with near, far:
            far.sendall(b"abc")
            asyncio.get_running_loop().call_soon(far.sendall, b"defgh")
            assert await receive_exactly(near, 5) == b"abcde"
            assert near.recv(10) == b"fgh"
            far.sendall(b"xy")
            far.close()
            with pytest.raises(ConnectionResetError, match="ended in the handshake"):
                await receive_exactly(near, 3)

    run(main())


class TestDial:
    def test_server_with_the_secret_is_accepted(self, run: Run) -> None:
        def script(sock: socket.socket) -> None:
            assert shake_hands(sock) == HELLO
            sock.sendall(frame(b"welcome"))

        async def main(address: Address) -> None:
            received = Received()
            sock, node_id = await dial(address, HELLO, KEYS, NODE_ID)
            assert node_id == NODE_ID
            assert not sock.getblocking()
            await attach(sock, received.stream)
            assert await received.take(2) == [b"welcome", None]

        with tcp_server(script) as address:
            run(main(address))

    @pytest.mark.parametrize(
        ("answer", "expected", "match"),
        [
            (Answer(Verdict.CHALLENGE, NODE_ID, bytes(16)), NodeId(b"x" * 16), "another node ans"),
            (Answer(Verdict.TRUSTED, NODE_ID, bytes(16)), NODE_ID, "answers TRUSTED"),
            (Answer(Verdict.BUSY, NODE_ID, bytes(16)), NODE_ID, "answers BUSY"),
        ],
    )
    def test_wrong_answer_gets_no_proof(
        self, run: Run, answer: Answer, expected: NodeId, match: str
    ) -> None:
        def script(sock: socket.socket) -> None:
            read_hello(sock)
            sock.sendall(answer.pack())
            assert says_nothing_more(sock)

        async def main(address: Address) -> None:
            with pytest.raises(ProtocolError, match=match):
                await dial(address, HELLO, KEYS, expected)

        with tcp_server(script) as address:
            run(main(address))

    @pytest.mark.parametrize(
        ("keys", "shown_keys", "match"),
        [(OTHER_KEYS, None, "uses another secret"), (KEYS, OTHER_KEYS, "could not prove")],
    )
    def test_secret_must_be_known_on_both_sides(
        self, run: Run, keys: Any, shown_keys: Any, match: str
    ) -> None:
        def script(sock: socket.socket) -> None:
            shake_hands(sock, keys=keys, shown_keys=shown_keys)
            assert says_nothing_more(sock)

        async def main(address: Address) -> None:
            with pytest.raises(AuthenticationError, match=match):
                await dial(address, HELLO, KEYS, NODE_ID)

        with tcp_server(script) as address:
            run(main(address))

    def test_refusal_after_the_proof_is_named(self, run: Run) -> None:
        async def main(address: Address) -> None:
            with pytest.raises(ProtocolError, match="answers BUSY"):
                await dial(address, HELLO, KEYS, NODE_ID)

        with tcp_server(lambda sock: shake_hands(sock, final=Verdict.BUSY)) as address:
            run(main(address))

    def test_lost_first_packet_is_not_waited_for(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("grid.transport.stream.CONNECT_PATIENCE_S", 0.001)
        attempts: list[int] = []

        async def attempt() -> int:
            attempts.append(len(attempts))
            if len(attempts) < 4:
                await asyncio.Event().wait()
            return attempts[-1]

        async def main() -> None:
            assert await patiently(attempt) == 3

        run(main())
        assert attempts == [0, 1, 2, 3]

    def test_attempt_that_fails_by_itself_is_the_last(self, run: Run) -> None:
        async def attempt() -> None:
            raise TimeoutError(errno.ETIMEDOUT, "the kernel has given up")

        async def main() -> None:
            with pytest.raises(TimeoutError, match="the kernel has given up"):
                await patiently(attempt)

        run(main())

    def test_nobody_listens(self, run: Run) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            address = Address(*listener.getsockname())

        async def main() -> None:
            with pytest.raises(ConnectionRefusedError):
                await dial(address, HELLO, KEYS, NODE_ID)

        run(main())

    def test_server_that_closes_in_the_handshake(self, run: Run) -> None:
        def script(sock: socket.socket) -> None:
            read_hello(sock)
            sock.sendall(Answer(Verdict.CHALLENGE, NODE_ID, bytes(16)).pack())
            read_exactly(sock, PROOF_BYTES)

        async def main(address: Address) -> None:
            with pytest.raises(ConnectionResetError):
                await dial(address, HELLO, KEYS, NODE_ID)

        with tcp_server(script) as address:
            run(main(address))

    def test_server_that_stalls(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("grid.transport.stream.DEADLINE_S", 0.05)
        is_over = threading.Event()

        def script(sock: socket.socket) -> None:
            read_hello(sock)
            is_over.wait(PATIENCE_S)
            assert says_nothing_more(sock)

        async def main(address: Address) -> None:
            with pytest.raises(TimeoutError):
                await dial(address, HELLO, KEYS, NODE_ID)

        with tcp_server(script) as address:
            run(main(address))
            is_over.set()
