"""What a node does with the connections of each purpose, over its real gateway."""

from __future__ import annotations

import asyncio
import socket

import pytest

from grid.partition.messages import AcceptLoss
from grid.process import sessions as sessions_module
from grid.transport.stream import dial, receive_exactly
from grid.wire.catalog import decode_client_reply, decode_exchange, encode
from grid.wire.control import Events, EventsWanted
from grid.wire.frame import frame
from grid.wire.handshake import Hello, Purpose

from .gates import KEYS, Gate, list_of, node_id, until, within_patience

OWN = node_id(1)


async def connected(gate: Gate, purpose: Purpose) -> socket.socket:
    sock, answered_by = await dial(gate.address, Hello.create(purpose, client_id=OWN), KEYS)
    assert answered_by == gate.node_id
    return sock


async def send(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def read_to_the_end(sock: socket.socket) -> bytes:
    loop, data = asyncio.get_running_loop(), b""
    try:
        while piece := await within_patience(loop.sock_recv(sock, 65_536)):
            data += piece
    except ConnectionResetError:
        pass
    sock.close()
    return data


def test_connection_that_only_asks_whether_somebody_is_there_is_closed_after_the_proof() -> None:
    async def scenario() -> None:
        with Gate(2).start() as gate:
            assert await read_to_the_end(await connected(gate, Purpose.PING)) == b""
            assert gate.session_count == 0

    asyncio.run(scenario())


def test_list_is_answered_by_a_list_and_the_connection_ends() -> None:
    async def scenario() -> None:
        with Gate(2).start() as gate:
            sock = await connected(gate, Purpose.EXCHANGE)
            await send(sock, frame(encode(list_of(1))))
            answer = await read_to_the_end(sock)
            assert decode_exchange(answer[4:]) == list_of(2)
            assert gate.lists == [(OWN, list_of(1))]
            await until(lambda: gate.session_count == 0)

    asyncio.run(scenario())


def test_large_list_is_answered_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    def many(number: int) -> object:
        one = list_of(number)
        return type(one)(one.standing, one.report, one.records * 5_000)

    async def scenario() -> None:
        with Gate(2).start() as gate:
            monkeypatch.setattr(gate.sessions, "_on_exchange", lambda sender, message: many(2))
            sock = await connected(gate, Purpose.EXCHANGE)
            await send(sock, frame(encode(list_of(1))))
            answer = await read_to_the_end(sock)
            assert len(decode_exchange(answer[4:]).records) == 5_000

    asyncio.run(scenario())


@pytest.mark.parametrize("body", [b"", b"garbage", encode(AcceptLoss())])
def test_what_is_no_list_ends_the_connection_without_answer(
    body: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        with Gate(2).start() as gate:
            sock = await connected(gate, Purpose.EXCHANGE)
            await send(sock, frame(body))
            assert await read_to_the_end(sock) == b""
            assert gate.lists == []
            await until(lambda: gate.session_count == 0)

    asyncio.run(scenario())
    assert "connection dropped reason=" in caplog.text


def test_peers_messages_are_handed_on_with_their_sender_and_not_answered() -> None:
    async def scenario() -> None:
        with Gate(2).start() as gate:
            sock = await connected(gate, Purpose.PEER)
            await send(sock, frame(encode(AcceptLoss())) * 3)
            await until(lambda: len(gate.heard) == 3)
            assert gate.heard == [(OWN, AcceptLoss())] * 3
            assert gate.session_count == 1
            sock.close()
            await until(lambda: gate.session_count == 0)

    asyncio.run(scenario())


def test_peer_that_sends_a_list_is_cut() -> None:
    async def scenario() -> None:
        with Gate(2).start() as gate:
            sock = await connected(gate, Purpose.PEER)
            await send(sock, frame(encode(list_of(1))))
            assert await read_to_the_end(sock) == b""
            assert gate.heard == []

    asyncio.run(scenario())


def test_program_is_told_the_events_after_the_last_it_knows() -> None:
    async def scenario() -> None:
        with Gate(2).start() as gate:
            gate.events.add("lost", "known", partitions=1)
            gate.events.add("lost", "new", partitions=2)
            sock = await connected(gate, Purpose.CONTROL)
            await send(sock, frame(encode(EventsWanted(7, after=1))))
            header = await within_patience(receive_exactly(sock, 4))
            body = await within_patience(receive_exactly(sock, int.from_bytes(header, "big")))
            assert decode_client_reply(body) == Events(7, gate.events.since(1))
            sock.close()

    asyncio.run(scenario())


def test_session_beyond_the_bound_is_closed_but_pings_are_answered(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sessions_module, "SESSIONS_MAX", 2)

    async def scenario() -> None:
        with Gate(2).start() as gate:
            kept = [await connected(gate, Purpose.PEER) for _ in range(2)]
            await until(lambda: gate.session_count == 2)
            assert await read_to_the_end(await connected(gate, Purpose.PEER)) == b""
            assert await read_to_the_end(await connected(gate, Purpose.PING)) == b""
            assert gate.session_count == 2
            for sock in kept:
                sock.close()

    asyncio.run(scenario())
    assert "too many connections open=2" in caplog.text


def test_closing_ends_every_session() -> None:
    async def scenario() -> None:
        with Gate(2).start() as gate:
            purposes = (Purpose.PEER, Purpose.EXCHANGE, Purpose.CONTROL)
            socks = [await connected(gate, purpose) for purpose in purposes]
            await until(lambda: gate.session_count == 3)
            gate.sessions.close()
            for sock in socks:
                assert await read_to_the_end(sock) == b""
            await until(lambda: gate.session_count == 0)

    asyncio.run(scenario())


def test_half_a_message_is_waited_for() -> None:
    async def scenario() -> None:
        with Gate(2).start() as gate:
            sock = await connected(gate, Purpose.EXCHANGE)
            whole = frame(encode(list_of(1)))
            await send(sock, whole[:7])
            await until(lambda: gate.session_count == 1)
            assert gate.lists == []
            await send(sock, whole[7:])
            header = await within_patience(receive_exactly(sock, 4))
            assert int.from_bytes(header, "big") == len(encode(list_of(2)))
            sock.close()

    asyncio.run(scenario())
