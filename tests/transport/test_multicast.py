"""Beacons over loopback, in a group and on a port that no other test has; and over interfaces
that come and go, in a network namespace of their own.
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import NamedTuple

import pytest

from grid.transport.interfaces import usable_interface_addresses
from grid.transport.multicast import MulticastSockets

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


def open_in(stack: ExitStack, group: Group, *interfaces: str) -> MulticastSockets:
    sockets = stack.enter_context(closing(MulticastSockets(*group)))
    if interfaces:
        assert sockets.refresh(interfaces)
    return sockets


def next_datagram(sockets: MulticastSockets) -> bytes:
    assert select.select([sockets.listener], [], [], PATIENCE_S)[0], "nothing has arrived"
    return sockets.listener.recv(2_000)


def hears_nothing(sockets: MulticastSockets) -> bool:
    """Whether nothing waits; within one machine a datagram arrives while it is sent."""
    return not select.select([sockets.listener], [], [], 0)[0]


def test_every_listener_of_this_machine_hears_a_beacon(group: Group, stack: ExitStack) -> None:
    everybody = [open_in(stack, group, LOOPBACK) for _ in range(3)]
    assert everybody[0].send(b"beacon") == 1
    assert [next_datagram(sockets) for sockets in everybody] == [b"beacon"] * 3


def test_listening_does_not_block(group: Group, stack: ExitStack) -> None:
    with pytest.raises(BlockingIOError):
        open_in(stack, group, LOOPBACK).listener.recv(1)


def test_datagrams_to_the_port_alone_are_not_heard(group: Group, stack: ExitStack) -> None:
    sockets = open_in(stack, group, LOOPBACK)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"to the port", (LOOPBACK, group.port))
    sockets.send(b"to the group")
    assert next_datagram(sockets) == b"to the group"


def test_another_group_on_the_same_port_is_not_heard(group: Group, stack: ExitStack) -> None:
    ours = open_in(stack, group, LOOPBACK)
    other_group = Group(group.group.replace("239.254.", "239.253."), group.port)
    others = open_in(stack, other_group, LOOPBACK)
    others.send(b"for others")
    ours.send(b"for us")
    assert next_datagram(ours) == b"for us"
    assert next_datagram(others) == b"for others"


def test_one_interface_that_can_join_is_enough(group: Group, stack: ExitStack) -> None:
    sockets = open_in(stack, group, NO_INTERFACE, LOOPBACK)
    assert sockets.send(b"beacon") == 1
    assert next_datagram(sockets) == b"beacon"


def test_port_of_somebody_who_does_not_share_it_is_refused(stack: ExitStack) -> None:
    owner = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    owner.bind(("", 0))
    with pytest.raises(OSError, match="in use"):
        MulticastSockets("239.254.0.1", owner.getsockname()[1])


@pytest.mark.parametrize("interfaces", [[], [NO_INTERFACE]])
def test_only_the_first_refresh_needs_an_interface(
    group: Group, stack: ExitStack, interfaces: list[str]
) -> None:
    sockets = open_in(stack, group)
    with pytest.raises(OSError, match="no network interface is up"):
        sockets.refresh(interfaces)
    assert not sockets.refresh(interfaces), "still without"
    assert sockets.send(b"beacon") == 0
    assert sockets.refresh([LOOPBACK]), "the network has come"
    assert sockets.send(b"beacon") == 1
    assert next_datagram(sockets) == b"beacon"
    assert sockets.refresh(interfaces), "the network has gone"
    assert sockets.send(b"beacon") == 0


def test_refresh_without_a_change_rebuilds_nothing(group: Group, stack: ExitStack) -> None:
    sockets = open_in(stack, group, LOOPBACK, "127.0.0.2")
    assert not sockets.refresh([LOOPBACK, "127.0.0.2"])
    assert not sockets.refresh(["127.0.0.2", LOOPBACK, NO_INTERFACE, LOOPBACK]), "in any order"


def test_only_the_difference_is_rebuilt_and_the_listener_stays(
    group: Group, stack: ExitStack
) -> None:
    sockets = open_in(stack, group, LOOPBACK)
    number = sockets.listener.fileno()
    assert sockets.refresh([LOOPBACK, "127.0.0.2"])
    assert sockets.send(b"from two addresses of one interface") == 2
    sources = {sockets.listener.recvfrom(2_000)[1][0] for _ in range(2)}
    assert sources == {LOOPBACK, "127.0.0.2"}
    assert sockets.refresh(["127.0.0.2"])
    assert sockets.send(b"from one of them") == 1
    assert next_datagram(sockets) == b"from one of them"
    assert sockets.listener.fileno() == number


def test_interfaces_left_are_heard_no_more(group: Group, stack: ExitStack) -> None:
    sockets, sender = (open_in(stack, group, LOOPBACK) for _ in range(2))
    # The kernel gives each listener what any other listener of the machine has joined.
    sender.listener.close()
    assert sockets.refresh([])
    assert sender.send(b"not for us") == 1
    assert hears_nothing(sockets)
    assert sockets.refresh([LOOPBACK])
    assert sender.send(b"beacon") == 1
    assert next_datagram(sockets) == b"beacon"


def test_interface_that_cannot_send_is_passed_over(group: Group, stack: ExitStack) -> None:
    sockets = open_in(stack, group, LOOPBACK)
    assert sockets.send(b"x" * 70_000) == 0, "too long for any datagram"
    assert sockets.send(b"beacon") == 1
    sockets.close()
    assert sockets.send(b"beacon") == 0


# A network of our own, in which interfaces can be taken away. The scenarios are functions of this
# module, run by a child inside it. Their cable leads from "near" to "far", both on this machine.

ROOT = Path(__file__).resolve().parent.parent.parent
# As root of a user namespace anybody may do it, where that is allowed at all. The mount shows the
# files about the new interfaces, not about the machine's. Nobody else is there: any port will do.
IN_NAMESPACE = ("unshare", "--map-root-user", "--net", "--mount", "sh", "-ec")
PREPARATION = "mount -t sysfs sysfs /sys && ip link set lo up"
CABLE = "link add near type veth peer name far"
NEAR = "10.9.0.1"
GROUP = Group("239.254.0.1", 7700)


def ip(arguments: str) -> None:
    subprocess.run(["ip", *arguments.split()], check=True, timeout=PATIENCE_S)


def plug_in() -> None:
    ip(CABLE)
    ip(f"addr add {NEAR}/24 dev near")
    ip("link set near up")
    ip("link set far up")


def assert_beacons_pass(sockets: MulticastSockets, *, count: int = 1) -> None:
    assert sockets.send(b"beacon") == count
    assert [next_datagram(sockets) for _ in range(count)] == [b"beacon"] * count


def scenario_interface_goes_down_and_comes_back(sockets: MulticastSockets) -> None:
    assert_beacons_pass(sockets, count=2)
    ip("link set near down")
    assert NEAR not in usable_interface_addresses()
    assert sockets.send(b"beacon") == 1, "not refreshed yet"
    assert next_datagram(sockets) == b"beacon"
    assert sockets.refresh([LOOPBACK])
    assert_beacons_pass(sockets)
    ip("link set near up")
    assert sockets.refresh([NEAR, LOOPBACK])
    assert_beacons_pass(sockets, count=2)


def scenario_interface_was_down_between_two_looks(sockets: MulticastSockets) -> None:
    ip("link set near down")
    ip("link set near up")
    assert sockets.refresh([NEAR, LOOPBACK]), "the switch learns of us again"
    assert not sockets.refresh([NEAR, LOOPBACK])
    assert_beacons_pass(sockets, count=2)


def scenario_cable_was_out_between_two_looks(sockets: MulticastSockets) -> None:
    ip("link set far down")
    ip("link set far up")
    assert sockets.refresh([NEAR, LOOPBACK]), "the switch learns of us again"
    assert_beacons_pass(sockets, count=2)


def scenario_address_was_lost_between_two_looks(sockets: MulticastSockets) -> None:
    ip(f"addr del {NEAR}/24 dev near")
    ip(f"addr add {NEAR}/24 dev near")
    assert not sockets.refresh([NEAR, LOOPBACK])
    assert_beacons_pass(sockets, count=2)


def scenario_interface_was_made_anew_between_two_looks(sockets: MulticastSockets) -> None:
    for _ in range(25):  # More often than one socket may have memberships.
        ip("link del near")
        plug_in()
        assert sockets.send(b"beacon") == 1, "the old one is of no use"
        assert next_datagram(sockets) == b"beacon"
        assert sockets.refresh([NEAR, LOOPBACK])
        assert_beacons_pass(sockets, count=2)


def scenario_all_interfaces_go_and_one_returns(sockets: MulticastSockets) -> None:
    ip("link del near")
    ip("link set lo down")
    assert sockets.refresh([NEAR]), "it is in the list still, but gone"
    assert not sockets.refresh([])
    assert sockets.send(b"beacon") == 0
    plug_in()
    assert sockets.refresh([NEAR])
    assert_beacons_pass(sockets)


def scenario_another_address_on_the_same_interface(sockets: MulticastSockets) -> None:
    ip("addr add 10.9.0.2/24 dev near")
    ip(f"addr del {NEAR}/24 dev near")
    ip("addr add 10.9.0.2/24 dev near")  # The kernel took it away together with the first.
    assert sockets.refresh(["10.9.0.2", LOOPBACK])
    assert_beacons_pass(sockets, count=2)


SCENARIOS: dict[str, Callable[[MulticastSockets], None]] = {
    name.removeprefix("scenario_"): scenario
    for name, scenario in list(globals().items())
    if name.startswith("scenario_")
}


def run_scenario(name: str) -> None:
    """Run in the child: a cable, sockets on it and on loopback, and then what is to happen."""
    plug_in()
    with closing(MulticastSockets(*GROUP)) as sockets:
        number = sockets.listener.fileno()
        assert sockets.refresh([NEAR, LOOPBACK])
        SCENARIOS[name](sockets)
        assert sockets.listener.fileno() == number


def run_in_namespace(shell_line: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*IN_NAMESPACE, f"{PREPARATION} && {shell_line}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@pytest.fixture(name="_namespace", scope="module")
def fixture_namespace() -> None:
    if not (shutil.which("unshare") and shutil.which("ip")):
        pytest.skip("no network namespace: unshare and ip are not both installed")
    probe = run_in_namespace(f"ip {CABLE}")
    if probe.returncode != 0:
        pytest.skip(f"no network namespace: {probe.stderr.strip()}")


@pytest.mark.usefixtures("_namespace")
@pytest.mark.parametrize("name", SCENARIOS)
def test_group_is_heard_again_when(name: str) -> None:
    module = "tests.transport.test_multicast"
    done = run_in_namespace(
        f"exec '{sys.executable}' -c 'from {module} import *; run_scenario(\"{name}\")'"
    )
    assert done.returncode == 0, done.stderr
