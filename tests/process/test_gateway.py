"""The sockets of a node: one number for all three, and why they cannot be had."""

from __future__ import annotations

import socket

import pytest

from grid.errors import StartError
from grid.process.gateway import Sockets


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
