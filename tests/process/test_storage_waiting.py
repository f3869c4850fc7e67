"""Clients of the storage loop who wait: for a gate to open, or for the backup to have it."""

from __future__ import annotations

import contextlib
import socket

import pytest

from grid.process import storage as storage_module
from grid.storage.messages import (
    Done,
    Flush,
    Found,
    Get,
    Increment,
    Missing,
    Put,
    RefusalReason,
    Refused,
    Replies,
    Request,
    Requests,
    WithBackup,
)
from grid.transport.blocking import BlockingConnection
from grid.types import NodeId
from grid.wire.catalog import encode
from grid.wire.family import ReleaseDone, ReleaseWanted
from grid.wire.frame import frame

from .storages import (
    BACKUP,
    CLIENT,
    PATIENCE_S,
    WELCOME,
    Backup,
    Storage,
    eventually,
    flat,
    is_stored,
    next_reply,
    primary_of,
    replies_of,
    reply_to,
    request_numbers,
    running_storage,
)


@pytest.fixture(name="storage")
def fixture_storage():
    with running_storage() as storage:
        yield storage


@pytest.fixture(name="backup")
def fixture_backup(storage: Storage) -> Backup:
    """Partition 0 has a backup that is played by the test."""
    storage.serve(primary_of(0, BACKUP))
    return Backup(storage)


def allow(storage: Storage, backup: Backup) -> BlockingConnection:
    """Return a connection that has written already: its next writes need not wait."""
    connection = storage.connect()
    connection.send_frame(encode(put(900_000)))
    backup.follow(1)
    assert is_stored(next_reply(connection), 900_000)
    return connection


def put(number: int, key: bytes = b"k", value: bytes = b"v", epoch: int = 1) -> Put:
    return Put(number, "m", 0, epoch, key, value)


def get(number: int, key: bytes = b"k", epoch: int = 1) -> Get:
    return Get(number, "m", 0, epoch, key)


def stream(*requests: Request) -> bytes:
    return b"".join(frame(encode(request)) for request in requests)


def is_silent(connection: BlockingConnection) -> bool:
    """Tell whether nothing has been answered, though whatever could be done is done."""
    with contextlib.suppress(BlockingIOError):
        return not connection.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    return True


def is_parked(storage: Storage, count: int = 1) -> bool:
    return eventually(lambda: len(storage.process._parked) == count)


def is_holding(storage: Storage, count: int = 1) -> bool:
    return eventually(lambda: len(storage.process._holding) == count)


# -- parked -----------------------------------------------------------------------------------


def test_request_that_waits_for_its_gate_goes_on_when_it_opens(
    storage: Storage, backup: Backup
) -> None:
    connection, other = storage.connect(), storage.connect()
    connection.send_frame(encode(put(1)))
    assert is_parked(storage)
    assert reply_to(other, get(1)) == Missing(1), "others are served, and it is not carried out"
    assert is_silent(connection)
    assert backup.receive().allowance > 0
    backup.receipt()
    assert is_stored(next_reply(connection), 1)
    assert storage.process._parked == {}
    assert isinstance(reply_to(connection, get(2)), Found)


@pytest.mark.parametrize("are_together", [False, True])
def test_what_comes_behind_a_parked_request_waits_its_turn(
    are_together: bool, storage: Storage, backup: Backup
) -> None:
    connection = storage.connect()
    requests: list[Request] = [get(0), *(put(number) for number in range(1, 200)), get(200)]
    sent = frame(encode(Requests(requests))) if are_together else stream(*requests)
    connection.socket.sendall(sent)
    assert is_parked(storage)
    first = flat(replies_of(connection, 1)) if are_together else [next_reply(connection)]
    assert first == [Missing(0)]
    backup.follow(1)
    while not eventually_quiet(storage):
        backup.receive()
        backup.receipt()
    rest = flat(replies_of(connection, 200)) if are_together else [
        next_reply(connection) for _ in range(200)
    ]  # fmt: skip
    assert request_numbers(rest) == list(range(1, 201))
    assert isinstance(rest[-1], Found)


def eventually_quiet(storage: Storage) -> bool:
    """Wait until nobody is parked any more, or a parcel is there to be receipted."""
    eventually(lambda: not storage.process._parked or storage.control.poll(0))
    return not storage.process._parked


def test_requests_wait_while_their_partition_is_handed_over(storage: Storage) -> None:
    connection = storage.connect()
    assert is_stored(reply_to(connection, put(1)), 1)
    storage.send(ReleaseWanted(3, [], [0]))  # Without a copy: it stays frozen for a while.
    assert eventually(lambda: storage.process._store.partitions.by_id[0].is_frozen)
    connection.socket.sendall(stream(get(2), put(3)))
    assert is_parked(storage)
    assert is_silent(connection)
    storage.serve(primary_of(0, epoch=1))
    assert isinstance(next_reply(connection), Found)
    assert is_stored(next_reply(connection), 3)


def test_release_that_cannot_be_is_answered_and_its_requests_go_on(
    storage: Storage, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.replication.replicator.RELEASE_DEADLINE_S", 0.05)
    connection = allow(storage, backup)
    connection.send_frame(encode(WithBackup(put(1))))
    backup.receive_items(2)
    storage.send(ReleaseWanted(3, [], [0]))
    other = storage.connect()
    other.send_frame(encode(get(2, b"x")))
    assert storage.wait_for(ReleaseDone) == ReleaseDone(3, [])
    assert next_reply(other) == Missing(2)
    assert is_silent(connection)


def test_parked_request_of_a_partition_that_goes_elsewhere_is_refused(
    storage: Storage, backup: Backup
) -> None:
    connection = storage.connect()
    connection.send_frame(encode(put(1)))
    assert is_parked(storage)
    storage.serve()
    assert next_reply(connection) == Refused(1, RefusalReason.NOT_OWNER, 0)


def by_unix_socket(storage: Storage) -> BlockingConnection:
    return storage.connect()


def by_tcp(storage: Storage) -> BlockingConnection:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        theirs, _ = server.accept()
    storage.clients.append(ours)
    storage.take(theirs)
    connection = BlockingConnection(ours, NodeId(bytes(16)))
    connection.set_timeout(PATIENCE_S)
    assert ours.recv(len(WELCOME), socket.MSG_WAITALL) == WELCOME
    return connection


@pytest.mark.parametrize("connect", [by_unix_socket, by_tcp])
@pytest.mark.parametrize("requests", [[put(1)], [put(1), put(2), get(3)]], ids=["one", "three"])
def test_client_that_goes_while_it_is_parked_leaves_nothing_behind(
    connect, requests: list[Request], storage: Storage, backup: Backup
) -> None:
    brief, other = connect(storage), storage.connect()
    brief.socket.sendall(stream(*requests))
    assert is_parked(storage)
    brief.close()
    backup.follow(0)
    backup.receive()
    backup.receipt()  # Over TCP it is noticed when the gate opens, at the latest.
    while not eventually_dropped(storage):
        backup.receive()
        backup.receipt()
    process = storage.process
    assert (process._parked, process._holding, len(process._connections)) == ({}, {}, 1)
    assert not isinstance(reply_to(other, get(9)), Refused)


def eventually_dropped(storage: Storage) -> bool:
    eventually(lambda: len(storage.process._connections) == 1 or storage.control.poll(0))
    return len(storage.process._connections) == 1


# -- held -------------------------------------------------------------------------------------


def test_reply_is_held_until_the_backup_has_the_write(storage: Storage, backup: Backup) -> None:
    connection = allow(storage, backup)
    connection.send_frame(encode(WithBackup(put(1, value=b"new"))))
    backup.receive_items(2)
    assert is_holding(storage)
    assert is_silent(connection)
    reader = storage.connect()
    reader.send_frame(encode(get(2)))
    assert is_holding(storage, 2)
    assert is_silent(reader)
    backup.receipt()
    assert is_stored(next_reply(connection), 1)
    found = next_reply(reader)
    assert isinstance(found, Found)
    assert found.record[8:] == b"new"
    assert storage.process._holding == {}


def test_replies_behind_a_held_one_come_in_order(storage: Storage, backup: Backup) -> None:
    connection = allow(storage, backup)
    requests: list[Request] = [
        WithBackup(put(1)),
        get(2, b"x"),
        WithBackup(put(3)),
        get(4, b"x"),
        put(5),
    ]
    connection.socket.sendall(stream(*requests))
    backup.receive_items(2)
    assert is_holding(storage)
    assert is_silent(connection)
    connection.socket.sendall(stream(get(6, b"x")))
    backup.receipt()
    backup.follow(4)
    replies = [next_reply(connection) for _ in range(6)]
    assert request_numbers(replies) == [1, 2, 3, 4, 5, 6]


def test_replies_of_several_callers_overtake_held_ones(storage: Storage, backup: Backup) -> None:
    connection = allow(storage, backup)
    callers: list[Request] = [WithBackup(put(1)), get(2, b"x"), WithBackup(put(3)), get(4, b"y")]
    connection.send_frame(encode(Requests(callers)))
    assert next_reply(connection) == Replies([Missing(2), Missing(4)])
    connection.send_frame(encode(Requests([get(5, b"x")])))
    assert next_reply(connection) == Replies([Missing(5)])
    connection.send_frame(encode(get(6, b"x")))
    assert next_reply(connection) == Missing(6)
    backup.follow(3)
    (held,) = replies_of(connection, 2)
    assert request_numbers(held.replies) == [1, 3]


def test_flush_is_answered_when_the_backup_has_everything_and_knows_it(
    storage: Storage, backup: Backup
) -> None:
    connection = allow(storage, backup)
    assert is_stored(reply_to(connection, put(1)), 1)
    connection.send_frame(encode(Flush(2, [(0, 1)])))
    assert is_holding(storage)
    backup.follow(2)
    parcel = backup.receive()
    assert parcel.allowance == parcel.entries == 2
    assert is_silent(connection)
    backup.receipt()
    assert next_reply(connection) == Done(2, 0)


@pytest.mark.parametrize("connect", [by_unix_socket, by_tcp])
@pytest.mark.parametrize("are_together", [False, True])
def test_client_that_goes_while_its_reply_is_held_leaves_nothing_behind(
    connect, are_together: bool, storage: Storage, backup: Backup
) -> None:
    other = allow(storage, backup)
    brief = connect(storage)
    requests: list[Request] = [WithBackup(put(1, b"brief")), get(2, b"x")]
    sent = frame(encode(Requests(requests))) if are_together else stream(*requests)
    brief.socket.sendall(sent)
    assert is_holding(storage)
    brief.close()
    process = storage.process
    assert eventually(lambda: len(process._connections) == 1)
    assert (process._holding, process._parked) == ({}, {})
    backup.follow(2)
    assert isinstance(reply_to(other, get(3, b"brief")), Found), "it was carried out"


def test_who_waits_for_a_backup_that_is_no_more_is_to_ask_again(
    storage: Storage, backup: Backup
) -> None:
    writer = allow(storage, backup)
    writer.send_frame(encode(WithBackup(put(1, value=b"new"))))
    backup.receive_items(2)
    assert is_holding(storage)
    reader = storage.connect()
    reader.send_frame(encode(get(2)))
    assert is_holding(storage, 2)
    storage.serve(primary_of(0))
    for connection in (writer, reader):
        with pytest.raises(OSError, match="closed"):
            next_reply(connection)
    assert storage.process._holding == {}
    again = storage.connect()
    found = reply_to(again, get(3))
    assert isinstance(found, Found)
    assert found.record[8:] == b"new"
    refused = reply_to(again, WithBackup(put(1, value=b"new")))
    assert isinstance(refused, Refused)
    assert refused.reason is RefusalReason.NO_BACKUP


def test_repeated_request_on_another_connection_gets_the_first_result(
    storage: Storage, backup: Backup
) -> None:
    other = allow(storage, backup)
    brief = storage.connect()
    brief.send_frame(encode(WithBackup(Increment(1, "m", 0, 1, b"n", 1))))
    assert is_holding(storage)
    brief.close()
    again = storage.connect()
    again.send_frame(encode(WithBackup(Increment(1, "m", 0, 1, b"n", 1))))
    backup.follow(2)
    reply = next_reply(again)
    assert isinstance(reply, Found)
    assert reply.record[8:] == b"\x01\x01"
    stranger = storage.connect(CLIENT[::-1])
    stranger.send_frame(encode(Increment(1, "m", 0, 1, b"n", 1)))
    reply = next_reply(stranger)
    assert isinstance(reply, Found)
    assert reply.record[8:] == b"\x01\x02"
    assert isinstance(reply_to(other, get(9, b"n")), Found)


def test_held_replies_take_bounded_memory(
    storage: Storage, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "UNSENT_BYTES_MAX", 100_000)
    connection = allow(storage, backup)
    connection.send_frame(encode(put(1, b"large", bytes(60_000))))
    backup.follow(2)
    assert is_stored(next_reply(connection), 1)
    gets = [get(number, b"large") for number in range(3, 53)]
    connection.socket.sendall(stream(WithBackup(put(2)), *gets))
    assert is_holding(storage)
    (held,) = storage.process._holding.values()
    assert eventually(lambda: held.held_bytes > 100_000)
    assert held.held_bytes < 200_000
    assert len(held.held) < 5
    backup.follow(3)
    replies = [next_reply(connection) for _ in range(51)]
    assert request_numbers(replies) == list(range(2, 53))


def test_client_that_goes_with_much_held_takes_no_time_from_the_others(
    storage: Storage, backup: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage_module, "UNSENT_BYTES_MAX", 100_000)
    other = allow(storage, backup)
    other.send_frame(encode(put(1, b"large", bytes(60_000))))
    backup.follow(2)
    assert is_stored(next_reply(other), 1)
    brief = storage.connect()
    gets = [get(number, b"large") for number in range(3, 53)]
    brief.socket.sendall(stream(WithBackup(put(2)), *gets))
    assert is_holding(storage)
    (held,) = storage.process._holding.values()
    assert eventually(lambda: held.held_bytes > 100_000)
    with contextlib.suppress(OSError):
        brief.socket.shutdown(socket.SHUT_RDWR)
    brief.close()
    assert eventually(lambda: len(storage.process._connections) == 1, patience_s=2.0)
