"""The storage loop's promises to those who do not read their replies."""

from __future__ import annotations

import socket
import threading
from multiprocessing import Pipe

import pytest

from grid.process.storage import UNSENT_BYTES_MAX, StorageProcess
from grid.storage.messages import Done, Found, Get, Put
from grid.storage.options import StorageOptions
from grid.transport.blocking import BlockingConnection
from grid.types import NodeId
from grid.wire.catalog import decode_storage_reply, encode
from grid.wire.family import Serve
from grid.wire.frame import frame
from grid.wire.handshake import WELCOME_BYTES

VALUE = bytes(1 << 20)
REQUESTS = 200


@pytest.fixture
def storage():
    """A storage process's loop in a thread of this one; yields it and a client's connection."""
    control, theirs = Pipe()
    hand_over, receiving = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = StorageProcess(theirs, receiving, StorageOptions())
    thread = threading.Thread(target=process.run)
    thread.start()
    control.recv_bytes()  # It is ready.
    control.send_bytes(encode(Serve({0: 1})))
    ours, client = socket.socketpair()
    socket.send_fds(hand_over, [bytes(WELCOME_BYTES)], [client.fileno()])
    client.close()
    assert len(ours.recv(WELCOME_BYTES, socket.MSG_WAITALL)) == WELCOME_BYTES
    yield process, BlockingConnection(ours, NodeId(bytes(16)))
    ours.close()
    control.close()
    thread.join(timeout=60)
    hand_over.close()
    receiving.close()
    theirs.close()


def test_pipelined_requests_of_a_slow_reader_take_bounded_memory(storage):
    process, connection = storage
    connection.send_frame(encode(Put(1, "m", 0, 1, b"k", VALUE)))
    assert isinstance(decode_storage_reply(connection.receive_frame()), Done)
    requests = b"".join(frame(encode(Get(n, "m", 0, 1, b"k"))) for n in range(REQUESTS))
    connection.socket.sendall(requests)
    most_unsent = 0
    for number in range(REQUESTS):
        reply = decode_storage_reply(connection.receive_frame())
        assert isinstance(reply, Found)
        assert reply.request == number
        (inside,) = process._connections.values()
        most_unsent = max(most_unsent, len(inside.unsent))
    assert most_unsent <= UNSENT_BYTES_MAX + len(VALUE) + 100


def test_what_is_no_request_ends_the_connection_only(storage):
    _, connection = storage
    connection.send_frame(b"\x93\xc1 is no message")
    with pytest.raises(ConnectionResetError):
        connection.receive_frame()
