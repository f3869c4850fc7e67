"""The storage process's end of its pipe: questions, tables, what is carried, and never a stop."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from multiprocessing import Pipe

import pytest

from grid.partition.messages import Holding, HoldingRole
from grid.process.storage_network import NetworkEnd
from grid.process.storage_output import PIECES_MAX
from grid.replication.messages import (
    Assignment,
    CopyTarget,
    FillBegin,
    FillEnd,
    FillPage,
    Item,
    Parcel,
    Receipt,
    decode_stream,
    encode_stream,
)
from grid.replication.options import ReplicationOptions
from grid.replication.replicator import Replicator
from grid.storage.messages import Done, Found, Get, Put
from grid.storage.options import StorageOptions
from grid.storage.store import Store
from grid.wire.catalog import decode_storage_to_network, encode
from grid.wire.family import (
    Accounting,
    CopiesChanged,
    FromPeer,
    HoldingsKnown,
    HoldingsWanted,
    NetworkToStorage,
    PromotionKnown,
    ReleaseDone,
    ReleaseWanted,
    Serve,
    StorageToNetwork,
    ToPeer,
)

from .storages import OWN, PATIENCE_S, PEER, primary_of

UNSYNCED = CopyTarget(PEER, 0, is_backup=True, is_synced=False)
COPY = Assignment(0, 1, HoldingRole.BACKUP, PEER, [])


class Ends:
    """Both ends of the pipe, and what is behind one of them."""

    def __init__(self) -> None:
        self.control, theirs = Pipe()
        self.store = Store(StorageOptions(), time.monotonic)
        self.replicator = Replicator(self.store, ReplicationOptions(), time.monotonic)
        self.poll = select.epoll()
        self.network = NetworkEnd(theirs, self.store, self.replicator, self.poll)
        self.poll.register(self.network.fileno(), select.EPOLLIN)

    def say(self, *messages: NetworkToStorage) -> None:
        """Send as the network process, and let it be read."""
        for message in messages:
            self.control.send_bytes(encode(message))
        while events := self.poll.poll(0):
            assert all(self.network.serve(event) for _, event in events)

    def heard(self) -> list[StorageToNetwork]:
        """Let the replicator work, and return what is said to the network process."""
        self.network.replicate()
        said = []
        while self.control.poll(0):
            said.append(decode_storage_to_network(self.control.recv_bytes()))
        return said

    def serve(self, *assignments: Assignment, living: tuple[bytes, ...] = (OWN, PEER)) -> None:
        self.say(Serve(list(assignments), list(living), protects=True))


@pytest.fixture(name="ends")
def fixture_ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.control.close()
    ends.network._link.socket.close()
    ends.poll.close()


def filled(parcel_number: int = 1) -> FromPeer:
    """Return the whole fill of partition 0, with one entry."""
    items: list[Item] = [
        FillBegin(0, 1, 1, [(1, 0)]),
        FillPage(0, 1, "m", [b"k"], [bytes(8) + b"v"], []),
        FillEnd(0, 1, 1, []),
    ]
    return FromPeer(PEER, 0, encode_stream(Parcel(parcel_number, 0, 7, items)))


def test_table_is_served_and_questions_are_answered(ends: Ends) -> None:
    ends.serve(primary_of(0))
    assert ends.network.take_progress()
    assert not ends.network.take_progress()
    assert isinstance(ends.store.handle(Put(1, "m", 0, 1, b"k", b"v")), Done)
    ends.say(HoldingsWanted(5))
    holding = Holding(0, 1, 1, 1, HoldingRole.PRIMARY, [])
    assert ends.heard() == [HoldingsKnown(5, [holding], Accounting(0, 1, 1))]
    ends.say(Serve([primary_of(0)], [OWN], protects=False), HoldingsWanted(6))
    assert ends.heard() == [HoldingsKnown(6, [holding], Accounting(0, 0, 1))]


def test_release_is_answered_with_what_is_given_up(ends: Ends) -> None:
    ends.serve(primary_of(0), primary_of(1))
    ends.store.handle(Put(1, "m", 0, 1, b"k", b"v"))
    ends.say(ReleaseWanted(5, [0, 1], []))
    assert ends.heard() == [ReleaseDone(5, [1])]
    assert ends.network.take_progress()


def test_changes_are_carried_to_the_peer_and_its_receipts_back(ends: Ends) -> None:
    ends.serve(primary_of(0, UNSYNCED))
    kinds: list[type] = []
    number = stream = 0
    while FillEnd not in kinds:
        for message in ends.heard():
            assert isinstance(message, ToPeer)
            assert (message.node_id, message.index) == (PEER, 0)
            parcel = decode_stream(message.body)
            assert isinstance(parcel, Parcel)
            kinds += map(type, parcel.items)
            number, stream = parcel.number, parcel.stream
    assert kinds == [FillBegin, FillEnd]
    ends.network.take_progress()
    ends.say(FromPeer(PEER, 0, encode_stream(Receipt(number, False, [], stream))))
    assert ends.network.take_progress()
    assert CopiesChanged(is_last=True) in ends.heard()
    assert ends.replicator.holdings()[0].complete == [PEER]


def test_promotion_is_told_with_what_may_be_lost(ends: Ends) -> None:
    ends.serve(COPY)
    ends.say(filled())
    (answer,) = [message for message in ends.heard() if isinstance(message, ToPeer)]
    assert decode_stream(answer.body) == Receipt(1, False, [])
    ends.serve(primary_of(0, epoch=2), living=(OWN,))
    assert PromotionKnown(PEER, 1, 7) in ends.heard()
    assert isinstance(ends.store.handle(Get(1, "m", 0, 2, b"k")), Found)


def test_sleep_is_as_long_as_nothing_is_due(ends: Ends) -> None:
    ends.serve(primary_of(0, CopyTarget(PEER, 0, is_backup=True, is_synced=True)))
    ends.network.replicate()
    assert ends.network.replicate() > 0.1
    ends.replicator.want({0: 1})
    ends.network.replicate()
    assert 0 <= ends.network.replicate() <= 0.1, "somebody has to look after what was sent"


def test_pipe_that_is_full_stops_nobody(ends: Ends) -> None:
    ends.serve(primary_of(0))
    count = 0
    while not ends.network._link.unsent and count < 100_000:
        ends.network.tell(ReleaseDone(count, list(range(200))))
        count += 1
    for number in range(count, count + 3 * PIECES_MAX):
        ends.network.tell(ReleaseDone(number, list(range(200))))
    ends.say(HoldingsWanted(5))  # Questions are read all the same.
    assert ends.network._link.events & select.EPOLLOUT
    said: list[StorageToNetwork] = []
    deadline_s = time.monotonic() + PATIENCE_S
    while not said or not isinstance(said[-1], HoldingsKnown):
        assert time.monotonic() < deadline_s
        if ends.control.poll(0):
            said.append(decode_storage_to_network(ends.control.recv_bytes()))
        for _, event in ends.poll.poll(0):
            assert ends.network.serve(event)
    tokens = [message.token for message in said[:-1] if isinstance(message, ReleaseDone)]
    assert tokens == list(range(count + 3 * PIECES_MAX))
    assert not ends.network._link.unsent
    assert ends.network._link.events == select.EPOLLIN


def test_message_in_pieces_is_read_when_it_is_whole(ends: Ends) -> None:
    body = encode(filled())
    ends.serve(COPY)
    whole = len(body).to_bytes(4, "big") + body
    sock = socket.socket(fileno=socket.dup(ends.control.fileno()))
    for start in range(0, len(whole), 7):
        sock.sendall(whole[start : start + 7])
        ends.say()
    sock.close()
    assert ends.replicator.holdings()[0].role is HoldingRole.BACKUP


def test_end_of_the_pipe_is_told_once_read(ends: Ends) -> None:
    ends.control.close()
    ends.network.tell(CopiesChanged())  # Nobody hears it, and nothing happens.
    ((_, event),) = ends.poll.poll(PATIENCE_S)
    assert not ends.network.serve(event)
