"""Abstract names of nodes, who is behind them, and which ones there are."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from grid.transport.unix import is_trusted, local_node_ports, peer_uid, socket_name


@pytest.fixture(name="fake_uid")
def fixture_fake_uid(monkeypatch: pytest.MonkeyPatch) -> int:
    """Pretend to be a user whom no other test and no node has: one for each process."""
    uid = 2_000_000_000 + os.getpid()
    monkeypatch.setattr("grid.transport.unix.os.getuid", lambda: uid)
    return uid


@pytest.fixture(name="stack")
def fixture_stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def bind(stack: ExitStack, name: str | bytes) -> None:
    sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    sock.bind(name)
    sock.listen()


def test_name_is_abstract_and_has_user_and_port(fake_uid: int) -> None:
    assert socket_name(7701) == f"\0grid-{fake_uid}-7701"
    assert socket_name(7701, uid=5) == "\0grid-5-7701"


def test_no_ports_are_found_where_no_node_runs(fake_uid: int) -> None:
    assert local_node_ports() == []


def test_ports_are_found_lowest_first_and_gone_after_closing(
    fake_uid: int, stack: ExitStack
) -> None:
    for port in (10_101, 7_701, 7_702):
        bind(stack, socket_name(port))
    assert local_node_ports() == [7_701, 7_702, 10_101]
    stack.close()
    assert local_node_ports() == []


def test_port_with_connections_is_found_once(fake_uid: int, stack: ExitStack) -> None:
    listener = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    listener.bind(socket_name(7_701))
    listener.listen()
    for _ in range(3):
        client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        client.connect(socket_name(7_701))
        stack.enter_context(listener.accept()[0])
    assert local_node_ports() == [7_701]


def test_other_users_and_other_names_are_passed_over(fake_uid: int, stack: ExitStack) -> None:
    names = [
        socket_name(7_701, uid=fake_uid + 1),
        f"\0grid-{fake_uid}0-7702",
        f"\0grid-{fake_uid}-",
        f"\0grid-{fake_uid}-x",
        f"\0grid-{fake_uid}--7703",
        f"\0grid-{fake_uid}-7704 ",
        f"\0other-grid-{fake_uid}-7705",
        socket_name(7_706),
    ]
    for name in names:
        bind(stack, name)
    assert local_node_ports() == [7_706]


def test_system_without_a_listing_has_no_local_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grid.transport.unix._SOCKETS_LISTING", Path("/nowhere/at/all"))
    assert local_node_ports() == []


def test_peer_is_this_user() -> None:
    near, far = socket.socketpair()
    with near, far:
        assert peer_uid(near) == peer_uid(far) == os.getuid()
        assert is_trusted(near)


@pytest.mark.parametrize(("peer", "trusted"), [(1000, True), (0, True), (1001, False)])
def test_only_this_user_and_root_are_trusted(
    peer: int, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.transport.unix.os.getuid", lambda: 1000)
    monkeypatch.setattr("grid.transport.unix.peer_uid", lambda sock: peer)
    near, far = socket.socketpair()
    with near, far:
        assert is_trusted(near) is trusted


def test_a_foreign_name_that_is_no_text_is_passed_over():
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(b"\0\xff\xfe" + os.urandom(4))
        assert isinstance(local_node_ports(), list)
