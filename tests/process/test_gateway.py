"""The sockets of a node: one number for all three, why they cannot be had, and accepting."""

from __future__ import annotations

import asyncio
import socket

import pytest

from grid.errors import StartError
from grid.process import gateway as gateway_module
from grid.process.gateway import Sockets
from grid.transport.stream import dial
from grid.wire.handshake import Hello, Purpose

from .gates import KEYS, Gate


def test_tcp_udp_and_unix_share_one_free_port():
    sockets = Sockets("127.0.0.1", 0)
    try:
        assert sockets.tcp.getsockname() == sockets.udp.getsockname()
        assert str(sockets.port).encode() in sockets.unix.getsockname()
    finally:
        sockets.close()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_port_taken_on_tcp_or_udp_is_said_in_one_sentence(kind: socket.SocketKind):
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        with pytest.raises(StartError, match=f"port {port} on 127.0.0.1 is taken"):
            Sockets("127.0.0.1", port)


def test_an_address_of_another_machine_is_said_in_one_sentence():
    with pytest.raises(StartError, match="is no address of this machine"):
        Sockets("192.0.2.1", 0)


def test_failure_to_accept_is_said_once_until_it_is_over(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(gateway_module, "ACCEPT_PAUSE_S", 0.0)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        accept, failures = loop.sock_accept, [True, True, True, False, True, True]

        async def failing(listener: socket.socket) -> tuple[socket.socket, object]:
            if listener.family == socket.AF_INET and failures and failures.pop(0):
                raise OSError("Too many open files")
            return await accept(listener)

        monkeypatch.setattr(loop, "sock_accept", failing)
        with Gate(1).start() as gate:
            for _ in range(2):
                sock, _ = await dial(gate.address, Hello.create(Purpose.PING), KEYS)
                sock.close()
        assert failures == []

    asyncio.run(scenario())
    assert caplog.messages == ['cannot accept connections reason="Too many open files"'] * 2
