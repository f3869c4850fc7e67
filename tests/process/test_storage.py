"""The storage loop's promises: order, pieces, expiry, spinning, and who ends whose connection."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from multiprocessing import Pipe

import pytest

from grid.process import storage as storage_module
from grid.process.storage import REPLY_BYTES, StorageProcess
from grid.replication.options import ReplicationOptions
from grid.storage.messages import (
    Delete,
    Done,
    Found,
    FoundLarge,
    Get,
    Increment,
    Missing,
    Put,
    RefusalReason,
    Refused,
    Request,
    Requests,
    Take,
)
from grid.storage.options import StorageOptions
from grid.wire.catalog import encode, encode_in_pieces
from grid.wire.family import ReleaseDone, ReleaseWanted
from grid.wire.frame import JOIN_BYTES_MAX, READER_BYTES, frame

from .storages import (
    Storage,
    eventually,
    flat,
    is_stored,
    next_reply,
    put,
    put_if,
    replies_of,
    reply_to,
    request_numbers,
    running_storage,
)

SIZES = (0, 1, 60_000, READER_BYTES - 40, READER_BYTES, READER_BYTES + 40, 200_000, 5_000_000)


@pytest.fixture(name="storage")
def fixture_storage():
    with running_storage() as storage:
        yield storage


def get(number: int, key: bytes = b"k") -> Get:
    return Get(number, "m", 0, 1, key)


@pytest.mark.parametrize("size", SIZES)
def test_value_of_any_size_comes_back(size: int, storage: Storage) -> None:
    connection = storage.connect()
    value = random.Random(size).randbytes(size)
    put(connection, b"k", value)
    reply = reply_to(connection, get(2))
    assert isinstance(reply, FoundLarge if size > 65_528 else Found)
    assert bytes(reply.record[8:]) == value
    assert is_stored(reply_to(connection, Put(3, "m", 0, 1, b"l", value)), 3)
    assert isinstance(reply_to(connection, Take(4, "m", 0, 1, b"k")), Found | FoundLarge)
    assert reply_to(connection, get(5)) == Missing(5)


def test_value_sent_in_pieces_is_stored_whole(storage: Storage) -> None:
    connection = storage.connect()
    payload = random.Random(1).randbytes(3_000_000)
    connection.send_pieces(encode_in_pieces(put_if(1, b"k", b"\x00"), payload))
    assert is_stored(next_reply(connection), 1)
    reply = reply_to(connection, get(2))
    assert isinstance(reply, FoundLarge)
    assert reply.record[8:] == b"\x00" + payload


def test_requests_cut_anywhere_are_answered_in_order(storage: Storage) -> None:
    connection = storage.connect()
    generator = random.Random(2)
    stream, sizes = b"", [generator.choice(SIZES[:-1]) for _ in range(60)]
    for number, size in enumerate(sizes):
        key, value = str(number).encode(), bytes([number]) * size
        stream += frame(encode(Put(number, "m", 0, 1, key, value)))
    while stream:
        end = generator.choice((1, 3, 4, 5, 100, READER_BYTES, 300_000))
        connection.socket.sendall(stream[:end])
        stream = stream[end:]
    assert all(is_stored(next_reply(connection), number) for number in range(60))
    for number, size in enumerate(sizes):
        reply = reply_to(connection, get(number, str(number).encode()))
        assert isinstance(reply, Found | FoundLarge)
        assert reply.record[8:] == bytes([number]) * size


def test_pipelined_requests_are_answered_in_order(storage: Storage) -> None:
    connection = storage.connect()
    numbers = range(5_000)
    requests = [Increment(number, "m", 0, 1, b"k", 1) for number in numbers]
    connection.socket.sendall(b"".join(frame(encode(request)) for request in requests))
    replies = [next_reply(connection) for _ in numbers]
    assert all(isinstance(reply, Found) for reply in replies)
    assert request_numbers(replies) == list(numbers)
    reply = reply_to(connection, Increment(5_000, "m", 0, 1, b"k", 0))
    assert isinstance(reply, Found)
    assert reply.record[9:] == b"\xcd\x13\x88"  # 5,000


def test_requests_of_several_callers_are_answered_together(storage: Storage) -> None:
    connection = storage.connect()
    wanted = Requests([put_if(1, b"k", b"v"), get(2), get(3, b"x"), Get(4, "m", 1, 1, b"k")])
    connection.send_frame(encode(wanted))
    (message,) = replies_of(connection, 4)
    done, found, missing, refused = message.replies
    assert is_stored(done, 1)
    assert missing == Missing(3)
    assert isinstance(found, Found)
    assert refused == Refused(4, RefusalReason.NOT_OWNER, 1)


def test_large_values_among_the_requests_of_several_callers_are_stored_whole(
    storage: Storage,
) -> None:
    connection = storage.connect()
    values = [bytes([number]) * SIZES[-number - 1] for number in range(4)]
    requests: list[Request] = [put_if(n, bytes([n]), v) for n, v in enumerate(values)]
    requests += [get(n + 4, bytes([n])) for n in range(4)]
    connection.send_frame(encode(Requests(requests)))
    replies = flat(replies_of(connection, 8))
    assert request_numbers(replies) == list(range(8))
    found = [reply for reply in replies if isinstance(reply, Found | FoundLarge)]
    assert [bytes(reply.record[8:]) for reply in found] == values


def test_replies_without_records_are_gathered_in_bounded_numbers(storage: Storage) -> None:
    connection = storage.connect()
    count = 3 * JOIN_BYTES_MAX // REPLY_BYTES
    connection.send_frame(encode(Requests([get(number) for number in range(count)])))
    messages = replies_of(connection, count)
    assert flat(messages) == [Missing(number) for number in range(count)]
    assert max(len(message.replies) for message in messages) <= JOIN_BYTES_MAX // REPLY_BYTES


def test_spinning_loop_answers_and_ends() -> None:
    with running_storage(spin_us=500) as storage:
        one, other = storage.connect(), storage.connect()
        for number in range(50):
            put(one, b"k", bytes([number]))
            reply = reply_to(other, get(number))
            assert isinstance(reply, Found)
            assert reply.record[8:] == bytes([number])
        storage.control.close()
        assert storage.ends()


@pytest.mark.parametrize("spin_us", [0, 500])
def test_loop_ends_when_its_network_process_closes_the_socket_pair(spin_us: int) -> None:
    with running_storage(spin_us) as storage:
        storage.connect()
        storage.hand_over.close()
        assert storage.ends()


# -- expiry -----------------------------------------------------------------------------------


def test_entries_end_while_nobody_asks(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_module, "HOUSEKEEPING_S", 0.01)
    connection = storage.connect()
    put(connection, b"brief", b"v", ttl_ms=20)
    put(connection, b"lasting", b"v")
    assert eventually(lambda: storage.entries() == 1)
    storage.control.send_bytes(encode(ReleaseWanted(3, [0], [])))
    assert storage.wait_for(ReleaseDone) == ReleaseDone(3, [])
    assert isinstance(reply_to(connection, get(1, b"lasting")), Found)


class NotingPoll:
    """Notes how long the loop would sleep."""

    def __init__(self) -> None:
        self.waits_s: list[float] = []

    def poll(self, timeout_s: float, _: int = 0) -> list[tuple[int, int]]:
        self.waits_s.append(timeout_s)
        return []


def test_loop_does_not_sleep_while_more_entries_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.storage.many.EXPIRED_AT_ONCE_MAX", 10)
    control, theirs = Pipe()
    process = StorageProcess(theirs, None, StorageOptions(), ReplicationOptions())  # type: ignore[arg-type]
    process._poll.close()
    process._poll = noting = NotingPoll()  # type: ignore[assignment]
    process._store.serve({0: 1})
    for number in range(25):
        process._handle(put_if(number, bytes([number]), b"v", ttl_ms=1))
    process._store._clock = process._store._many._clock = lambda: time.monotonic() + 1
    for _ in range(4):
        process._wait()
    assert process._store.holdings() == [(0, 1, 0)]
    assert noting.waits_s == [0, 0, 1.0, 1.0]
    process._network._link.socket.close()
    control.close()


# -- connections that end ---------------------------------------------------------------------

GARBAGE = {
    "no message": frame(b"\x93\xc1 is no message"),
    "nothing": frame(b""),
    "a reply": frame(encode(Done(1, 1))),
    "an unknown request": frame(b"\x92\x63\x01"),
    "wrong text": frame(encode(get(1)).replace(b"m", b"\xff")),
    "too long a frame": b"\xff\xff\xff\xff",
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "requests within requests": frame(b"\x92\x00\x91\x92\x00\x90"),
}


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_no_request_ends_its_connection_only(
    name: str, before: int, storage: Storage
) -> None:
    bad, good = storage.connect(), storage.connect()
    put(good, b"k", b"v")
    bad.socket.sendall(frame(encode(Delete(1, "m", 0, 1, b"x", b""))) * before + GARBAGE[name])
    replies = []
    with contextlib.suppress(ConnectionError):
        while True:
            replies.append(next_reply(bad))
    assert replies == [Done(1, 0)] * len(replies)
    assert len(replies) <= before
    assert isinstance(reply_to(good, get(2)), Found)
    assert isinstance(reply_to(storage.connect(), get(2)), Found)
    assert len(storage.process._connections) == 2


def test_value_of_no_length_can_be_asked_anything(storage: Storage) -> None:
    connection = storage.connect()
    put(connection, b"k", b"")
    refused = Refused(1, RefusalReason.NOT_COUNTABLE, 0)
    assert reply_to(connection, Increment(1, "m", 0, 1, b"k", 1)) == refused
    assert isinstance(reply_to(connection, get(2)), Found)


@pytest.mark.parametrize("size", [0, 1, 4, 10, 100_000])
def test_client_that_goes_in_the_middle_of_a_request_takes_nothing_along(
    size: int, storage: Storage
) -> None:
    brief, other = storage.connect(), storage.connect()
    whole = frame(encode(Put(1, "m", 0, 1, b"k", bytes(200_000))))
    brief.socket.sendall(whole[:size])
    brief.close()
    assert eventually(lambda: len(storage.process._connections) == 1)
    assert reply_to(other, get(1)) == Missing(1)


def test_client_that_is_gone_before_it_is_handed_over_is_forgotten(storage: Storage) -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    storage.take(theirs)
    assert reply_to(storage.connect(), get(1)) == Missing(1)
    assert len(storage.process._connections) == 1


def test_word_without_a_socket_is_passed_over(storage: Storage) -> None:
    storage.hand_over.send(b"no socket comes with this")
    assert reply_to(storage.connect(), get(1)) == Missing(1)
