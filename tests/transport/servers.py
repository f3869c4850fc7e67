"""A server thread that takes one connection and does with it what a test says."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from grid.types import Address, NodeId
from grid.wire.handshake import (
    HELLO_BYTES,
    PROOF_BYTES,
    Answer,
    Hello,
    Verdict,
    client_proof,
    server_proof,
    unpack_hello,
)
from grid.wire.security import ClusterKeys, derive_keys

PATIENCE_S = 30.0
"""Deadline of everything that is expected to happen; a test that meets it has failed."""

KEYS = derive_keys(b"correct horse battery staple", "grid")
OTHER_KEYS = derive_keys(b"wrong horse battery staple", "grid")
NODE_ID = NodeId(b"node of the test")

Script = Callable[[socket.socket], object]


@contextlib.contextmanager
def serving(listener: socket.socket, script: Script) -> Iterator[None]:
    """Run `script` with the first connection to `listener`; its failure is the test's."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            listener.settimeout(PATIENCE_S)
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(PATIENCE_S)
                script(sock)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    with listener:
        thread.start()
        try:
            yield
        finally:
            thread.join(PATIENCE_S)
    assert not thread.is_alive()
    if failures:
        raise failures[0]


@contextlib.contextmanager
def tcp_server(script: Script) -> Iterator[Address]:
    """Serve one TCP connection on a free port of loopback."""
    listener = socket.create_server(("127.0.0.1", 0))
    address = Address(*listener.getsockname())
    with serving(listener, script):
        yield address


@contextlib.contextmanager
def unix_server(monkeypatch: pytest.MonkeyPatch, script: Script) -> Iterator[int]:
    """Serve one connection on an abstract name that no other client takes for a node's."""
    names = f"\0grid-test-{os.getpid()}-"
    monkeypatch.setattr("grid.transport.blocking.socket_name", lambda port: f"{names}{port}")
    port = threading.get_native_id()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{names}{port}")
    listener.listen()
    with serving(listener, script):
        yield port


def read_exactly(sock: socket.socket, size: int) -> bytes:
    """Read `size` bytes, or fewer if the connection ends."""
    data = b""
    while len(data) < size and (piece := sock.recv(size - len(data))):
        data += piece
    return data


def read_hello(sock: socket.socket) -> Hello:
    """Read the client's first message."""
    return unpack_hello(read_exactly(sock, HELLO_BYTES))


def shake_hands(
    sock: socket.socket,
    *,
    verdict: Verdict = Verdict.CHALLENGE,
    final: Verdict = Verdict.WELCOME,
    keys: ClusterKeys = KEYS,
    shown_keys: ClusterKeys | None = None,
) -> Hello:
    """Play the server's side; `shown_keys` are those it proves with, if they differ.

    A client that does not prove the secret gets WRONG_SECRET.
    """
    hello = read_hello(sock)
    answer = Answer(verdict, NODE_ID, os.urandom(16))
    sock.sendall(answer.pack())
    proof = bytes(PROOF_BYTES)
    if verdict is Verdict.CHALLENGE:
        server = Address(*sock.getsockname())
        if read_exactly(sock, PROOF_BYTES) != client_proof(keys, hello, answer, server):
            final = Verdict.WRONG_SECRET
        else:
            proof = server_proof(shown_keys or keys, hello, answer, server)
    sock.sendall(bytes((final,)) + proof)
    return hello


def says_nothing_more(sock: socket.socket) -> bool:
    """Whether the client closes its end without another byte."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
