"""Short connections on loopback: each question is answered once, by what is really there."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from grid.membership.effects import Exchange, StreamAnswer, StreamPing
from grid.membership.messages import PushPull
from grid.process import contacts as contacts_module
from grid.process.contacts import CONTACTS_MAX, Contacts
from grid.types import Address, NodeId
from grid.wire.catalog import encode
from grid.wire.frame import FRAME_BYTES_MAX, frame
from grid.wire.handshake import Hello, Purpose

from .gates import (
    KEYS,
    OTHER_KEYS,
    PATIENCE_S,
    Gate,
    list_of,
    listening,
    node_id,
    refusing,
    reset,
    within_patience,
)

OWN = node_id(1)
SOON_S = 0.15
"""A deadline that is meant to pass."""


class Asker:
    """The calling side, with what it was told."""

    def __init__(self) -> None:
        self.answers: asyncio.Queue[tuple[int, StreamAnswer]] = asyncio.Queue()
        self.replies: asyncio.Queue[tuple[Address, NodeId | None, PushPull | None]]
        self.replies = asyncio.Queue()
        self.contacts = Contacts(
            KEYS,
            OWN,
            lambda *answer: self.answers.put_nowait(answer),
            lambda *reply: self.replies.put_nowait(reply),
        )

    async def ping(
        self, address: Address, number: int = 2, deadline_s: float = PATIENCE_S
    ) -> StreamAnswer:
        self.contacts.ping(StreamPing(7, node_id(number), address, deadline_s))
        probe, answer = await within_patience(self.answers.get())
        assert probe == 7
        return answer

    async def exchange(self, address: Address) -> tuple[NodeId | None, PushPull | None]:
        self.contacts.exchange(Exchange(address, list_of(1)))
        where, sender, reply = await within_patience(self.replies.get())
        assert where == address
        return sender, reply


# -- pings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked_for", "answer"), [(2, StreamAnswer.ANSWERED), (3, StreamAnswer.ANOTHER_NODE)]
)
def test_ping_is_answered_by_the_handshake_alone(asked_for: int, answer: StreamAnswer) -> None:
    async def scenario() -> None:
        with Gate(2).start() as gate:
            assert await Asker().ping(gate.address, asked_for) is answer
            assert [(h.purpose, h.client_id) for h in gate.hellos] == [(Purpose.PING, OWN)]
            assert gate.session_count == 0

    asyncio.run(scenario())


def test_port_where_nobody_listens_refuses() -> None:
    async def scenario() -> None:
        with refusing() as address:
            assert await Asker().ping(address) is StreamAnswer.REFUSED

    asyncio.run(scenario())


def test_stopped_process_is_silent_until_the_deadline() -> None:
    async def scenario() -> None:
        with listening() as (_, address):
            assert await Asker().ping(address, deadline_s=SOON_S) is StreamAnswer.SILENT

    asyncio.run(scenario())


def test_node_with_another_secret_is_no_answer() -> None:
    async def scenario() -> None:
        with Gate(2, keys=OTHER_KEYS).start() as gate:
            assert await Asker().ping(gate.address, deadline_s=SOON_S) is StreamAnswer.SILENT

    asyncio.run(scenario())


def test_program_that_speaks_something_else_is_no_answer() -> None:
    async def scenario() -> None:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example.org ESMTP and then some more, to be read as ours\r\n")
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with server:
            address = Address(*server.sockets[0].getsockname())
            assert await Asker().ping(address, deadline_s=SOON_S) is StreamAnswer.SILENT

    asyncio.run(scenario())


def test_reset_in_the_handshake_is_no_answer_and_the_refusal_after_it_is() -> None:
    """A process that ends: its backlog is reset first, then its port refuses."""

    async def scenario() -> None:
        with listening() as (listener, address):
            asker = Asker()
            asker.contacts.ping(StreamPing(7, node_id(2), address, PATIENCE_S))
            taken, _ = await within_patience(asyncio.get_running_loop().sock_accept(listener))
            reset(taken)
            listener.close()
            answer = await within_patience(asker.answers.get())
            assert answer == (7, StreamAnswer.REFUSED)

    asyncio.run(scenario())


def test_reset_in_the_handshake_is_forgotten_when_the_node_answers_after_all() -> None:
    async def scenario() -> None:
        with Gate(2) as gate:
            asker = Asker()
            asker.contacts.ping(StreamPing(7, node_id(2), gate.address, PATIENCE_S))
            loop = asyncio.get_running_loop()
            taken, _ = await within_patience(loop.sock_accept(gate.sockets.tcp))
            reset(taken)
            gate.start()
            answer = await within_patience(asker.answers.get())
            assert answer == (7, StreamAnswer.ANSWERED)

    asyncio.run(scenario())


# -- exchanges --------------------------------------------------------------------------------


def test_exchange_swaps_lists_and_proves_who_answered() -> None:
    async def scenario() -> None:
        with Gate(2).start() as gate:
            asker = Asker()
            assert await asker.exchange(gate.address) == (node_id(2), list_of(2))
            assert gate.lists == [(OWN, list_of(1))]
            assert [hello.purpose for hello in gate.hellos] == [Purpose.EXCHANGE]

    asyncio.run(scenario())


async def send_garbage(_: Hello, sock: socket.socket) -> None:
    await _send(sock, frame(b"\x93\x01garbage"))


async def send_something_else(_: Hello, sock: socket.socket) -> None:
    """A message that is none of an exchange."""
    await _send(sock, frame(encode(list_of(2))[:-3]))


async def send_too_much(_: Hello, sock: socket.socket) -> None:
    await _send(sock, (FRAME_BYTES_MAX + 1).to_bytes(4, "big"))


async def send_half(_: Hello, sock: socket.socket) -> None:
    await _send(sock, frame(encode(list_of(2)))[:-1])
    sock.shutdown(socket.SHUT_WR)


async def hang_up(_: Hello, sock: socket.socket) -> None:
    sock.close()


async def cut(_: Hello, sock: socket.socket) -> None:
    reset(sock)


async def _send(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


@pytest.mark.parametrize(
    "opened", [send_garbage, send_something_else, send_too_much, send_half, hang_up, cut]
)
def test_reply_that_is_none_is_no_answer(opened: Callable[..., Any]) -> None:
    async def scenario() -> None:
        with Gate(2, opened).start() as gate:
            assert await Asker().exchange(gate.address) == (None, None)

    asyncio.run(scenario())


def test_exchange_with_a_port_where_nobody_listens_has_no_answer() -> None:
    async def scenario() -> None:
        with refusing() as address:
            assert await Asker().exchange(address) == (None, None)

    asyncio.run(scenario())


def test_exchange_with_another_secret_has_no_answer() -> None:
    async def scenario() -> None:
        with Gate(2, keys=OTHER_KEYS).start() as gate:
            assert await Asker().exchange(gate.address) == (None, None)
            assert gate.lists == []

    asyncio.run(scenario())


def test_exchange_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts_module, "EXCHANGE_DEADLINE_S", SOON_S)

    async def say_nothing(_: Hello, sock: socket.socket) -> None:
        kept.append(sock)

    kept: list[socket.socket] = []

    async def scenario() -> None:
        with Gate(2, say_nothing).start() as gate:
            assert await Asker().exchange(gate.address) == (None, None)
        for sock in kept:
            sock.close()

    asyncio.run(scenario())


# -- bounds -----------------------------------------------------------------------------------


def test_contact_beyond_the_bound_counts_as_unanswered_at_once_until_another_ends() -> None:
    async def scenario() -> None:
        with listening() as (_, silent), Gate(2).start() as gate:
            asker = Asker()
            for probe in range(CONTACTS_MAX):
                asker.contacts.ping(StreamPing(probe, node_id(2), silent, PATIENCE_S))
            asker.contacts.ping(StreamPing(99, node_id(2), gate.address, PATIENCE_S))
            assert asker.answers.get_nowait() == (99, StreamAnswer.SILENT)
            asker.contacts.exchange(Exchange(gate.address, list_of(1)))
            assert asker.replies.get_nowait() == (gate.address, None, None)
            assert gate.hellos == []
            next(iter(asker.contacts._tasks)).cancel()
            await within_patience(
                asyncio.wait(asker.contacts._tasks, return_when="FIRST_COMPLETED")
            )
            await asyncio.sleep(0)
            assert await asker.ping(gate.address) is StreamAnswer.ANSWERED
            asker.contacts.close()

    asyncio.run(scenario())


def test_closed_contacts_call_nobody_back() -> None:
    async def scenario() -> None:
        with listening() as (_, silent), Gate(2).start() as gate:
            asker = Asker()
            asker.contacts.ping(StreamPing(1, node_id(2), silent, PATIENCE_S))
            asker.contacts.ping(StreamPing(2, node_id(2), gate.address, PATIENCE_S))
            asker.contacts.exchange(Exchange(gate.address, list_of(1)))
            tasks = set(asker.contacts._tasks)
            asker.contacts.close()
            await within_patience(asyncio.wait(tasks))
            assert asker.answers.empty()
            assert asker.replies.empty()
            assert asker.contacts._tasks == set()

    asyncio.run(scenario())


def test_address_that_no_socket_takes_is_answered_as_well() -> None:
    async def scenario() -> None:
        asker = Asker()
        asker.contacts.ping(StreamPing(1, node_id(2), Address("127.0.0.1", 70_000), SOON_S))
        asker.contacts.exchange(Exchange(Address("127.0.0.1", 70_000), list_of(1)))
        await asyncio.wait(asker.contacts._tasks)
        assert asker.answers.qsize() == 1
        assert asker.replies.qsize() == 1

    asyncio.run(scenario())
