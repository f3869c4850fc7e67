"""One connection of an asyncio client: what travels together, and what is lost with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from grid.client.requests import async_link
from grid.client.requests.async_link import AsyncLink
from grid.client.requests.routing import Target
from grid.client.requests.steps import Ask, Lost
from grid.storage.messages import (
    Condition,
    Done,
    Found,
    FoundLarge,
    Get,
    Missing,
    Put,
    PutIf,
    Replies,
    Requests,
    Size,
    WithBackup,
)
from grid.types import Address, NodeId
from grid.wire.catalog import decode_storage_request, encode
from grid.wire.frame import frame
from tests.wire.framing import Frames

TARGET = Target((NodeId(b"1" * 16), 0), "n1", Address("127.0.0.1", 1))


class Transport:
    """Takes what is written; a test plays the node."""

    def __init__(self, link: AsyncLink) -> None:
        self.link = link
        self.writes: list[bytes] = []
        self.is_aborted = False
        link.connection_made(self)  # type: ignore[arg-type]

    def write(self, data: bytes) -> None:
        self.writes.append(bytes(data))

    def abort(self) -> None:
        self.is_aborted = True
        asyncio.get_running_loop().call_soon(self.link.connection_lost, None)

    def frames(self) -> list[Any]:
        """Return the messages that were written, one for each frame."""
        bodies = list(Frames().feed(b"".join(self.writes)))
        for body in bodies:
            is_small = len(body) < 1_000
            assert not is_small or frame(body) in self.writes, "a small frame is one write"
        return [decode_storage_request.raw(body) for body in bodies]

    def answer(self, *messages: Any, size: int = 65_536) -> None:
        """Bring replies, `size` bytes at a time."""
        data = b"".join(frame(encode(message)) for message in messages)
        while data:
            space = self.link.get_buffer(-1)
            piece = data[: min(len(space), size)]
            space[: len(piece)] = piece
            self.link.buffer_updated(len(piece))
            data = data[len(piece) :]


def run(test: Callable[[AsyncLink, Transport], Awaitable[None]]) -> None:
    async def main() -> None:
        link = AsyncLink(TARGET, asyncio.get_running_loop())
        await test(link, Transport(link))

    asyncio.run(main())


def get(number: int) -> Ask:
    return Ask(TARGET, Get(number, "m", 7, 1, b"k"), time.monotonic() + 60)


def put(number: int) -> Ask:
    return Ask(TARGET, Put(number, "m", 7, 1, b"k", b"v"), time.monotonic() + 60)


async def turn() -> None:
    """Let the loop do what is due."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


def test_what_is_asked_in_one_turn_of_the_loop_is_one_frame():
    async def test(link, transport):
        futures = [link.ask(get(number)) for number in range(50)]
        assert transport.writes == []
        await turn()
        assert transport.frames() == [Requests([get(number).request for number in range(50)])]
        transport.answer(Replies([Found(number, b"%d" % number) for number in range(50)]))
        for number, future in enumerate(futures):
            assert await future == Found(number, b"%d" % number)
        assert not link.is_waiting

    run(test)


def test_one_request_alone_is_not_wrapped():
    async def test(link, transport):
        future = link.ask(get(1))
        await turn()
        assert transport.frames() == [get(1).request]
        transport.answer(Missing(1))
        assert await future == Missing(1)

    run(test)


def test_a_frame_has_so_many_requests_at_most():
    async def test(link, transport):
        for number in range(600):
            link.ask(get(number))
        await turn()
        sizes = [len(message.requests) for message in transport.frames()]
        assert sizes == [256, 256, 88]

    run(test)


def test_small_writes_that_wait_for_a_backup_go_together_as_well():
    async def test(link, transport):
        writes = [WithBackup(Put(number, "m", 7, 1, b"k", b"v")) for number in range(0, 20, 2)]
        futures = [link.ask(Ask(TARGET, write, time.monotonic() + 60)) for write in writes]
        read = link.ask(get(1))
        large = WithBackup(
            PutIf(30, "m", 7, 1, b"k", Condition.ALWAYS, b"", 0, memoryview(b"\x00"))
        )
        link.ask(Ask(TARGET, large, time.monotonic() + 60, bytes(100_000)))
        together, alone = transport.frames()
        assert together == Requests([*writes, get(1).request])
        assert len(alone.write.value) == 100_001
        # Replies that wait for a backup are overtaken.
        transport.answer(Replies([Missing(1)]))
        transport.answer(Replies([Done(number, 1, number) for number in range(0, 20, 2)]))
        assert await read == Missing(1)
        assert [await future for future in futures] == [Done(n, 1, n) for n in range(0, 20, 2)]

    run(test)


def test_large_and_rare_requests_go_alone_and_after_what_was_asked_before():
    async def test(link, transport):
        link.ask(get(1))
        link.ask(get(2))
        link.ask(Ask(TARGET, Size(3, "m", []), time.monotonic() + 60))
        large = PutIf(4, "m", 7, 1, b"k", Condition.ALWAYS, b"", 0, memoryview(b"\0"))
        link.ask(Ask(TARGET, large, time.monotonic() + 60, payload=bytes(100_000)))
        link.ask(get(5))
        await turn()
        first, second, third, last = transport.frames()
        assert [request.request for request in first.requests] == [1, 2]
        assert (second.request, third.request, last.request) == (3, 4, 5)
        assert bytes(third.value) == bytes(100_001)

    run(test)


@pytest.mark.parametrize("size", [1, 3, 1000, 65_536])
def test_replies_may_come_in_any_pieces_and_any_order(size: int):
    async def test(link, transport):
        futures = [link.ask(get(number)) for number in range(4)]
        large = FoundLarge(3, memoryview(bytes(70_000)))
        transport.answer(Found(2, b"two"), Replies([Missing(0), Found(1, b"one")]), size=size)
        assert [future.done() for future in futures] == [True, True, True, False]
        if size > 3:
            transport.answer(large, size=size)
            assert bytes((await futures[3]).record) == bytes(70_000)
        assert (await futures[2]).record == b"two"

    run(test)


def test_a_reply_nobody_waits_for_is_ignored():
    async def test(link, transport):
        cancelled, waiting = link.ask(get(1)), link.ask(get(2))
        cancelled.cancel()
        await turn()
        transport.answer(Missing(1), Missing(77), Missing(2))
        assert await waiting == Missing(2)
        assert not link.is_waiting

    run(test)


def test_a_connection_that_ends_tells_everybody_whether_it_was_sent():
    async def test(link, transport):
        sent = [link.ask(put(1)), link.ask(get(2))]
        await turn()
        unsent = link.ask(put(3))
        link.connection_lost(ConnectionResetError("it broke"))
        assert [await future for future in sent] == [Lost("it broke", is_sent=True)] * 2
        assert await unsent == Lost("it broke", is_sent=False)
        assert await link.ask(put(4)) == Lost("the connection has ended", is_sent=False)
        assert link.closed.done()
        await turn()
        assert len(transport.writes) == 1

    run(test)


def test_an_ordinary_end_is_said_as_such():
    async def test(link, transport):
        future = link.ask(get(1))
        await turn()
        link.connection_lost(None)
        assert await future == Lost("the node has closed the connection", is_sent=True)

    run(test)


@pytest.mark.parametrize(
    "garbage", [b"\xff\xff\xff\xff", frame(b"garbage"), frame(b"\x92\x63\x01")]
)
def test_garbage_ends_the_connection(garbage: bytes):
    async def test(link, transport):
        future = link.ask(get(1))
        await turn()
        link.get_buffer(-1)[: len(garbage)] = garbage
        link.buffer_updated(len(garbage))
        assert transport.is_aborted
        assert not link.is_open  # Nothing more is asked on it.
        assert await link.ask(put(2)) == Lost("the connection has ended", is_sent=False)
        assert (await future).is_sent

    run(test)


def test_what_is_late_is_given_up_and_its_reply_ignored():
    async def test(link, transport):
        late, waiting = link.ask(put(1)), link.ask(get(2))
        link._waiting[1] = (late, time.monotonic() - 1)
        await turn()
        link.drop_late(time.monotonic())
        assert await late == Lost("n1 is silent", is_sent=True, is_late=True)
        assert not waiting.done()
        transport.answer(Done(1, 1), Missing(2))
        assert await waiting == Missing(2)

    run(test)


def test_there_is_room_for_so_many_who_wait_and_the_next_come_after_them(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(async_link, "WAITING_MAX", 3)

    async def test(link, transport):
        for number in range(3):
            assert link.has_room
            link.ask(get(number))
        assert not link.has_room
        waiting = asyncio.create_task(link.room())
        await turn()
        transport.answer(Missing(0))
        await waiting
        assert link.has_room

    run(test)


def test_callers_wait_while_the_socket_takes_nothing():
    async def test(link, transport):
        link.pause_writing()
        waiting = [asyncio.create_task(link.room()) for _ in range(3)]
        await turn()
        waiting[0].cancel()
        link.drop_late(time.monotonic())  # Wakes them; there is still no room.
        await turn()
        assert not waiting[1].done()
        link.resume_writing()
        await asyncio.wait(waiting)
        assert waiting[0].cancelled()

    run(test)


def test_those_who_wait_for_room_go_on_when_the_connection_ends():
    async def test(link, transport):
        link.pause_writing()
        waiting = asyncio.create_task(link.room())
        await turn()
        link.connection_lost(None)
        await waiting

    run(test)


def test_silence_counts_from_the_first_request_that_waits():
    async def test(link, transport):
        link.heard_s = 0.0
        link.ask(get(1))
        began_s = link.heard_s
        assert began_s > 0
        link.heard_s = 1.0
        link.ask(get(2))
        assert link.heard_s == 1.0
        transport.answer(Missing(1))
        assert link.heard_s >= began_s

    run(test)
