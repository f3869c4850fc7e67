"""A storage process's loop in a thread of the test's own process, and its clients."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from grid.process.storage import StorageProcess
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
from grid.wire.family import HoldingsKnown, HoldingsWanted, Serve, StorageReady
from grid.wire.handshake import WELCOME_BYTES

PATIENCE_S = 60.0
"""Deadline of everything that is expected to happen; a test that meets it has failed."""

WELCOME = b"w" * WELCOME_BYTES


@dataclass
class Storage:
    """The loop, seen from its network process."""

    process: StorageProcess
    thread: threading.Thread
    control: Connection
    hand_over: socket.socket
    clients: list[socket.socket] = field(default_factory=list)

    def connect(self) -> BlockingConnection:
        """Hand a client's socket over and return the client's end."""
        ours, theirs = socket.socketpair()
        self.clients.append(ours)
        self.take(theirs)
        connection = BlockingConnection(ours, NodeId(bytes(16)))
        connection.set_timeout(PATIENCE_S)
        assert ours.recv(WELCOME_BYTES, socket.MSG_WAITALL) == WELCOME
        return connection

    def take(self, sock: socket.socket) -> None:
        """Hand a socket over."""
        socket.send_fds(self.hand_over, [WELCOME], [sock.fileno()])
        sock.close()

    def entries(self) -> int:
        """Ask how many entries are held."""
        self.control.send_bytes(encode(HoldingsWanted(7)))
        assert self.control.poll(PATIENCE_S)
        known = decode_storage_to_network(self.control.recv_bytes())
        assert isinstance(known, HoldingsKnown)
        return sum(holding.entries for holding in known.held)

    def ends(self) -> bool:
        """Wait for the loop's end."""
        self.thread.join(PATIENCE_S)
        return not self.thread.is_alive()


@contextlib.contextmanager
def running_storage(spin_us: int = 0) -> Iterator[Storage]:
    """Run a loop that serves partition 0 in epoch 1."""
    control, theirs = Pipe()
    hand_over, receiving = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = StorageProcess(theirs, receiving, StorageOptions(spin_us=spin_us))
    thread = threading.Thread(target=process.run)
    thread.start()
    storage = Storage(process, thread, control, hand_over)
    try:
        assert control.poll(PATIENCE_S)
        assert isinstance(decode_storage_to_network(control.recv_bytes()), StorageReady)
        control.send_bytes(encode(Serve({0: 1})))
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


def eventually(holds: Callable[[], bool]) -> bool:
    """Wait until it holds; False when it does not."""
    deadline_s = time.monotonic() + PATIENCE_S
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
    assert reply_to(connection, put_if(1, key, value, ttl_ms)) == Done(1, 1)


def request_numbers(replies: Sequence[StorageReply]) -> list[int]:
    return [reply.request for reply in replies if not isinstance(reply, Replies)]
