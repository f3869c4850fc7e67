"""Beacons over loopback, in a group and on a port that no other test has."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import NamedTuple

import pytest

from grid.transport.multicast import (
    MulticastSender,
    listening_socket,
    usable_interface_addresses,
)

from .servers import PATIENCE_S

LOOPBACK = "127.0.0.1"
NO_INTERFACE = "203.0.113.77"
"""Kept for documentation (RFC 5737): no address of this machine."""


class Group(NamedTuple):
    """Where the beacons of one test go."""

    group: str
    port: int


@pytest.fixture(name="group")
def fixture_group() -> Iterator[Group]:
    number = os.getpid()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reservation:
        reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reservation.bind((LOOPBACK, 0))
        group = f"239.254.{number >> 8 & 255}.{number & 255}"
        yield Group(group, reservation.getsockname()[1])


@pytest.fixture(name="stack")
def fixture_stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def listen(stack: ExitStack, group: Group, interfaces: list[str]) -> socket.socket:
    return stack.enter_context(listening_socket(group.group, group.port, interfaces))


def sender_to(stack: ExitStack, group: Group) -> MulticastSender:
    return stack.enter_context(closing(MulticastSender(group.group, group.port, [LOOPBACK])))


def next_datagram(sock: socket.socket) -> bytes:
    assert select.select([sock], [], [], PATIENCE_S)[0], "nothing has arrived"
    return sock.recv(2_000)


def test_loopback_is_usable_and_comes_last() -> None:
    addresses = usable_interface_addresses()
    assert LOOPBACK in addresses
    others = [address for address in addresses if not address.startswith("127.")]
    assert addresses[: len(others)] == others


def test_every_listener_of_this_machine_hears_a_beacon(group: Group, stack: ExitStack) -> None:
    listeners = [listen(stack, group, [LOOPBACK]) for _ in range(3)]
    assert sender_to(stack, group).send(b"beacon") == 1
    assert [next_datagram(listener) for listener in listeners] == [b"beacon"] * 3


def test_listening_does_not_block(group: Group, stack: ExitStack) -> None:
    with pytest.raises(BlockingIOError):
        listen(stack, group, [LOOPBACK]).recv(1)


def test_datagrams_to_the_port_alone_are_not_heard(group: Group, stack: ExitStack) -> None:
    listener = listen(stack, group, [LOOPBACK])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"to the port", (LOOPBACK, group.port))
    sender_to(stack, group).send(b"to the group")
    assert next_datagram(listener) == b"to the group"


def test_another_group_on_the_same_port_is_not_heard(group: Group, stack: ExitStack) -> None:
    listener = listen(stack, group, [LOOPBACK])
    other = Group(group.group.replace("239.254.", "239.253."), group.port)
    other_listener = listen(stack, other, [LOOPBACK])
    sender_to(stack, other).send(b"for others")
    sender_to(stack, group).send(b"for us")
    assert next_datagram(listener) == b"for us"
    assert next_datagram(other_listener) == b"for others"


def test_one_interface_that_can_join_is_enough(group: Group, stack: ExitStack) -> None:
    listener = listen(stack, group, [NO_INTERFACE, LOOPBACK])
    sender_to(stack, group).send(b"beacon")
    assert next_datagram(listener) == b"beacon"


@pytest.mark.parametrize("interfaces", [[], [NO_INTERFACE]])
def test_listening_without_any_interface_fails(group: Group, interfaces: list[str]) -> None:
    with pytest.raises(OSError, match=r"no network interface is up|No such device"):
        listening_socket(group.group, group.port, interfaces)


def test_interface_that_cannot_send_is_passed_over(group: Group, stack: ExitStack) -> None:
    sender = sender_to(stack, group)
    assert sender.send(b"x" * 70_000) == 0, "too long for any datagram"
    assert sender.send(b"beacon") == 1
    sender.close()
    assert sender.send(b"beacon") == 0


def test_one_beacon_goes_through_each_interface(group: Group, stack: ExitStack) -> None:
    listener = listen(stack, group, [LOOPBACK])
    both = MulticastSender(group.group, group.port, [LOOPBACK, LOOPBACK])
    stack.enter_context(closing(both))
    assert both.send(b"beacon") == 2
    assert [next_datagram(listener), next_datagram(listener)] == [b"beacon"] * 2
