"""The storage loop and those who do not read their replies: bounded memory, and nothing is lost."""

from __future__ import annotations

import socket

import pytest

from grid.process import storage as storage_module
from grid.process.storage import UNSENT_BYTES_MAX
from grid.process.storage_output import ClientLink
from grid.storage.messages import (
    Found,
    FoundLarge,
    Get,
    Increment,
    Missing,
    Request,
    Requests,
    Scan,
    TakeAny,
    Taken,
)
from grid.wire.catalog import encode
from grid.wire.frame import frame

from .storages import (
    Storage,
    eventually,
    flat,
    next_reply,
    put,
    put_if,
    replies_of,
    reply_to,
    request_numbers,
    running_storage,
)

VALUE = bytes(1 << 20)
REQUESTS = 100
ENVELOPE_BYTES = 200
GETS: list[Request] = [Get(number, "m", 0, 1, b"k") for number in range(REQUESTS)]


@pytest.fixture(name="storage")
def fixture_storage():
    with running_storage() as storage:
        yield storage


@pytest.fixture(name="unsent_bytes")
def fixture_unsent_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What waited to be sent, noted with each piece that was added."""
    noted: list[int] = []
    keep = ClientLink.keep

    def noting_keep(self: ClientLink, piece: bytes | memoryview) -> None:
        keep(self, piece)
        noted.append(self.unsent_bytes)

    monkeypatch.setattr(ClientLink, "keep", noting_keep)
    return noted


def pipelined(requests: list[Request]) -> bytes:
    return b"".join(frame(encode(request)) for request in requests)


def test_pipelined_requests_of_a_slow_reader_take_bounded_memory(
    storage: Storage, unsent_bytes: list[int]
) -> None:
    connection = storage.connect()
    put(connection, b"k", VALUE)
    connection.socket.sendall(pipelined(GETS))
    for number in range(REQUESTS):
        reply = next_reply(connection)
        assert isinstance(reply, FoundLarge)
        assert (reply.request, len(reply.record)) == (number, len(VALUE) + 8)
    assert max(unsent_bytes) <= UNSENT_BYTES_MAX + len(VALUE) + ENVELOPE_BYTES


def test_many_gets_in_one_message_take_bounded_memory(
    storage: Storage, unsent_bytes: list[int]
) -> None:
    connection = storage.connect()
    put(connection, b"k", VALUE)
    connection.send_frame(encode(Requests(GETS)))
    messages = replies_of(connection, REQUESTS)
    assert request_numbers(flat(messages)) == list(range(REQUESTS))
    assert {len(message.replies) for message in messages} == {1}
    assert max(unsent_bytes) <= UNSENT_BYTES_MAX + len(VALUE) + ENVELOPE_BYTES


def test_many_takes_in_one_message_take_bounded_memory(
    storage: Storage, unsent_bytes: list[int]
) -> None:
    connection = storage.connect()
    for number in range(30):
        put(connection, bytes([number]), VALUE)
    wanted: list[Request] = [TakeAny(number, "m", [(0, 1)]) for number in range(31)]
    connection.send_frame(encode(Requests(wanted)))
    replies = flat(replies_of(connection, 31))
    taken = [reply.key[0] for reply in replies if isinstance(reply, Taken)]
    assert sorted(taken) == list(range(30))
    assert replies[-1] == Missing(30)
    assert max(unsent_bytes) <= UNSENT_BYTES_MAX + len(VALUE) + ENVELOPE_BYTES


def test_many_pages_in_one_message_take_bounded_memory(
    storage: Storage, unsent_bytes: list[int]
) -> None:
    connection = storage.connect()
    put(connection, b"k", VALUE)
    wanted: list[Request] = [Scan(n, "m", [(0, 1)], 0, True) for n in range(30)]
    connection.send_frame(encode(Requests(wanted)))
    assert request_numbers(flat(replies_of(connection, 30))) == list(range(30))
    assert max(unsent_bytes) <= UNSENT_BYTES_MAX + len(VALUE) + ENVELOPE_BYTES


@pytest.mark.parametrize("are_together", [False, True])
def test_requests_are_not_carried_out_while_their_replies_have_no_room(
    are_together: bool, storage: Storage
) -> None:
    slow, other = storage.connect(), storage.connect()
    put(slow, b"k", VALUE)
    requests = [*GETS[:50], Increment(50, "m", 0, 1, b"count", 1)]
    slow.socket.sendall(frame(encode(Requests(requests))) if are_together else pipelined(requests))

    def is_pausing() -> bool:
        return any(c.unsent and c.answers is not None for c in [*connections.values()])

    connections = storage.process._connections
    assert eventually(is_pausing)
    for number in range(3):  # The others are served meanwhile.
        assert reply_to(other, Get(number, "m", 0, 1, b"count")) == Missing(number)
    replies = flat(replies_of(slow, 51)) if are_together else [next_reply(slow) for _ in requests]
    assert request_numbers(replies) == list(range(51))
    assert isinstance(replies[-1], Found)
    assert isinstance(reply_to(other, Get(9, "m", 0, 1, b"count")), Found)


@pytest.mark.parametrize("are_together", [False, True])
def test_requests_go_on_where_all_replies_could_be_sent_at_once(
    are_together: bool, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One reply is beyond the bound, and the socket takes it whole: nothing is left to wait for.
    monkeypatch.setattr(storage_module, "UNSENT_BYTES_MAX", 10)
    connection = storage.connect()
    put(connection, b"k", bytes(70_000))
    requests = GETS[:20]
    stream = frame(encode(Requests(requests))) if are_together else pipelined(requests)
    connection.socket.sendall(stream)
    replies = (
        flat(replies_of(connection, 20))
        if are_together
        else [next_reply(connection) for _ in GETS[:20]]
    )
    assert request_numbers(replies) == list(range(20))


def test_writes_that_wait_behind_unread_replies_are_stored_as_they_were_sent(
    storage: Storage,
) -> None:
    connection = storage.connect()
    put(connection, b"k", VALUE)
    writes: list[Request] = [put_if(n, bytes([n]), bytes([n]) * 3_000) for n in range(15)]
    connection.socket.sendall(frame(encode(Requests([*GETS[:20], *writes]))))
    # Much more behind it, which must not be read into the same buffer meanwhile.
    connection.socket.sendall(pipelined(GETS[:50]))
    assert len(flat(replies_of(connection, 35))) == 35
    assert request_numbers([next_reply(connection) for _ in range(50)]) == list(range(50))
    for number in range(15):
        reply = reply_to(connection, Get(1, "m", 0, 1, bytes([number])))
        assert isinstance(reply, Found)
        assert reply.record[8:] == bytes([number]) * 3_000


def test_small_requests_one_by_one_of_a_slow_reader_are_all_answered(storage: Storage) -> None:
    connection = storage.connect()
    put(connection, b"k", bytes(60_000))
    for request in GETS:
        connection.send_frame(encode(request))
    replies = [next_reply(connection) for _ in GETS]
    assert request_numbers(replies) == list(range(REQUESTS))


@pytest.mark.parametrize("are_together", [False, True])
def test_client_that_goes_with_replies_unread_is_forgotten(
    are_together: bool, storage: Storage
) -> None:
    slow, other = storage.connect(), storage.connect()
    put(slow, b"k", VALUE)
    slow.socket.sendall(frame(encode(Requests(GETS))) if are_together else pipelined(GETS))
    assert eventually(lambda: any(c.unsent for c in [*storage.process._connections.values()]))
    slow.socket.shutdown(socket.SHUT_RDWR)
    slow.close()
    assert eventually(lambda: len(storage.process._connections) == 1)
    assert isinstance(reply_to(other, Get(1, "m", 0, 1, b"k")), FoundLarge)
