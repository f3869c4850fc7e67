"""A storage process's loop in a thread of the test's own process, and its clients."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import TypeVar

from grid.partition.messages import HoldingRole
from grid.process.storage import StorageProcess
from grid.replication.messages import (
    Assignment,
    CopyTarget,
    Item,
    Parcel,
    Receipt,
    decode_stream,
    encode_stream,
)
from grid.replication.options import ReplicationOptions
from grid.storage.messages import (
    Condition,
    Done,
    PutIf,
    Replies,
    Reply,
    StorageReply,
    StorageRequest,
)
from grid.storage.options import StorageOptions
from grid.transport.blocking import BlockingConnection
from grid.types import NodeId
from grid.wire.catalog import (
    decode_storage_reply,
    decode_storage_to_network,
    encode,
)
from grid.wire.family import (
    FromPeer,
    HoldingsKnown,
    HoldingsWanted,
    NetworkToStorage,
    Serve,
    StorageReady,
    StorageToNetwork,
    ToPeer,
)
from grid.wire.handshake import WELCOME_BYTES

PATIENCE_S = 60.0
"""Deadline of everything that is expected to happen; a test that meets it has failed."""

numbers = count(1_000_000)
"""Of requests whose numbers are of no interest."""

WELCOME = b"w" * WELCOME_BYTES
CLIENT = b"client-of-16-byt"
OWN, PEER = b"o" * 16, b"p" * 16
BACKUP = CopyTarget(PEER, 0, is_backup=True, is_synced=True)


Message = TypeVar("Message", bound=StorageToNetwork)


@dataclass
class Storage:
    """The loop, seen from its network process."""

    process: StorageProcess
    thread: threading.Thread
    control: Connection
    hand_over: socket.socket
    clients: list[socket.socket] = field(default_factory=list)
    heard: list[StorageToNetwork] = field(default_factory=list)

    def connect(self, client: bytes = CLIENT) -> BlockingConnection:
        """Hand a client's socket over and return the client's end."""
        ours, theirs = socket.socketpair()
        self.clients.append(ours)
        self.take(theirs, client)
        connection = BlockingConnection(ours, NodeId(bytes(16)))
        connection.set_timeout(PATIENCE_S)
        assert ours.recv(WELCOME_BYTES, socket.MSG_WAITALL) == WELCOME
        return connection

    def take(self, sock: socket.socket, client: bytes = CLIENT) -> None:
        """Hand a socket over."""
        socket.send_fds(self.hand_over, [WELCOME + client], [sock.fileno()])
        sock.close()

    def send(self, message: NetworkToStorage) -> None:
        """Say something as the network process."""
        self.control.send_bytes(encode(message))

    def serve(self, *assignments: Assignment, protects: bool = True) -> None:
        """Send a table's part."""
        self.send(Serve(list(assignments), [OWN, PEER], protects))

    def wait_for(self, kind: type[Message]) -> Message:
        """Return the next message of a kind; the others are in `heard`."""
        while True:
            assert self.control.poll(PATIENCE_S)
            message = decode_storage_to_network(self.control.recv_bytes())
            if isinstance(message, kind):
                return message
            self.heard.append(message)

    def known(self) -> HoldingsKnown:
        """Ask what is held."""
        self.send(HoldingsWanted(7))
        return self.wait_for(HoldingsKnown)

    def entries(self) -> int:
        """Ask how many entries are held."""
        return sum(holding.entries for holding in self.known().held)

    def ends(self) -> bool:
        """Wait for the loop's end."""
        self.thread.join(PATIENCE_S)
        return not self.thread.is_alive()


def primary_of(partition: int, *copies: CopyTarget, epoch: int = 1) -> Assignment:
    """Return what a primary is told."""
    return Assignment(partition, epoch, HoldingRole.PRIMARY, OWN, list(copies))


class Backup:
    """The process that has the copies, played by the test."""

    def __init__(self, storage: Storage) -> None:
        """Receive and receipt nothing yet."""
        self.storage = storage
        self.items: list[Item] = []
        self.number = self.stream = 0

    def receive(self) -> Parcel:
        """Take the next parcel, once."""
        while True:
            parcel = decode_stream(self.storage.wait_for(ToPeer).body)
            assert isinstance(parcel, Parcel)
            if parcel.number > self.number:
                self.number, self.stream = parcel.number, parcel.stream
                self.items += parcel.items
                return parcel

    def receipt(self) -> None:
        """Say that everything received is applied."""
        body = encode_stream(Receipt(self.number, False, [], self.stream))
        self.storage.send(FromPeer(PEER, 0, body))

    def receive_items(self, count: int) -> None:
        """Take parcels until so many items have come; receipt nothing."""
        while len(self.items) < count:
            self.receive()

    def follow(self, count: int) -> None:
        """Receipt parcels until so many items have come."""
        while len(self.items) < count:
            self.receive()
            self.receipt()


@contextlib.contextmanager
def running_storage(spin_us: int = 0) -> Iterator[Storage]:
    """Run a loop that serves partition 0 in epoch 1."""
    control, theirs = Pipe()
    hand_over, receiving = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    options = StorageOptions(spin_us=spin_us)
    process = StorageProcess(theirs, receiving, options, ReplicationOptions())
    thread = threading.Thread(target=process.run)
    thread.start()
    storage = Storage(process, thread, control, hand_over)
    try:
        assert control.poll(PATIENCE_S)
        assert isinstance(decode_storage_to_network(control.recv_bytes()), StorageReady)
        storage.serve(primary_of(0), protects=False)
        yield storage
    finally:
        control.close()
        assert storage.ends()
        for sock in (*storage.clients, hand_over, receiving):
            sock.close()
        for connection in process._connections.values():
            connection.socket.close()
        process._poll.close()
        theirs.close()


def eventually(holds: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Wait until it holds; False when it does not."""
    deadline_s = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.005)
    return True


def reply_to(connection: BlockingConnection, request: StorageRequest) -> StorageReply:
    """Send one message and return the next one."""
    return decode_storage_reply(connection.exchange(encode(request)))


def next_reply(connection: BlockingConnection) -> StorageReply:
    return decode_storage_reply(connection.receive_frame())


def replies_of(connection: BlockingConnection, count: int) -> list[Replies]:
    """Receive so many answers to a `Requests`, in however many messages."""
    messages: list[Replies] = []
    while sum(len(message.replies) for message in messages) < count:
        message = next_reply(connection)
        assert isinstance(message, Replies)
        messages.append(message)
    return messages


def flat(messages: list[Replies]) -> list[Reply]:
    return [reply for message in messages for reply in message.replies]


def put_if(number: int, key: bytes, value: bytes, ttl_ms: int = 0) -> PutIf:
    return PutIf(number, "m", 0, 1, key, Condition.ALWAYS, b"", ttl_ms, memoryview(value))


def put(connection: BlockingConnection, key: bytes, value: bytes, ttl_ms: int = 0) -> None:
    """Store an entry, each under a number of its own."""
    number = next(numbers)
    assert is_stored(reply_to(connection, put_if(number, key, value, ttl_ms)), number)


def is_stored(reply: StorageReply, number: int) -> bool:
    """Tell whether a reply says that one entry was written."""
    return isinstance(reply, Done) and (reply.request, reply.count) == (number, 1)


def request_numbers(replies: Sequence[StorageReply]) -> list[int]:
    return [reply.request for reply in replies if not isinstance(reply, Replies)]
