"""Machines with many interfaces: what they list, tell others, and choose for a peer."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import NamedTuple

import pytest

from grid.transport.interfaces import (
    ADVERTISED_MAX,
    LOOPBACK,
    Interface,
    advertised_hosts,
    choose_host,
    links_of,
    usable_interface_addresses,
    usable_interfaces,
)

ROUTES_HEADER = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"


class Entry(NamedTuple):
    """The part of psutil's answer that counts."""

    address: str
    netmask: str | None = "255.255.255.0"
    family: int = socket.AF_INET


class Stats(NamedTuple):
    """The part of psutil's answer that counts."""

    isup: bool = True


@pytest.fixture(name="machine")
def fixture_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return Machine(monkeypatch, tmp_path / "route")


class Machine:
    """A machine with whatever interfaces a test gives it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, routes: Path) -> None:
        self._routes = routes
        self.entries: dict[str, list[Entry]] = {}
        self.stats: dict[str, Stats] = {}
        interfaces = "grid.transport.interfaces"
        monkeypatch.setattr(f"{interfaces}.psutil.net_if_addrs", lambda: self.entries)
        monkeypatch.setattr(f"{interfaces}.psutil.net_if_stats", lambda: self.stats)
        monkeypatch.setattr(f"{interfaces}._ROUTES", routes)

    def has(self, name: str, *entries: Entry | str, is_up: bool = True) -> None:
        whole = [Entry(entry) if isinstance(entry, str) else entry for entry in entries]
        self.entries[name] = whole
        if ":" not in name:
            self.stats[name] = Stats(is_up)

    def routes(self, text: str) -> None:
        self._routes.write_text(ROUTES_HEADER + text)


def names() -> list[str]:
    return [interface.name for interface in usable_interfaces()]


def interface(name: str, cidr: str) -> Interface:
    whole = ipaddress.IPv4Interface(cidr)
    return Interface(name, str(whole.ip), whole.network)


LOOPBACK_INTERFACE = interface("lo", "127.0.0.1/8")
LAN = interface("eth0", "192.168.1.5/24")
DOCKER = interface("docker0", "172.17.0.1/16")
LAPTOP = (LAN, interface("tun0", "10.8.0.2/32"), DOCKER, LOOPBACK_INTERFACE)


def test_this_machine_has_its_loopback_last() -> None:
    last = usable_interfaces()[-1]
    assert (last.host, last.is_loopback) == (LOOPBACK, True)
    assert usable_interface_addresses()[-1] == LOOPBACK


def test_real_interfaces_come_before_those_of_container_tools(machine: Machine) -> None:
    for name in ("docker0", "br-0a1b2c3d4e5f", "virbr0", "veth12ab", "wlan0", "eth0"):
        machine.has(name, "10.0.0.1")
    machine.has("lo", Entry(LOOPBACK, "255.0.0.0"))
    assert names() == ["eth0", "wlan0", "br-0a1b2c3d4e5f", "docker0", "veth12ab", "virbr0", "lo"]


def test_interface_of_the_default_route_comes_first(machine: Machine) -> None:
    for name in ("eth0", "eth1", "br-lan", "wlan0"):
        machine.has(name, "10.0.0.1")
    machine.routes(
        "wlan0  00000000 0101A8C0 0003 0 0 600 00000000 0 0 0\n"
        "br-lan 00000000 0101A8C0 0003 0 0 100 00000000 0 0 0\n"
        "eth0   00000000 00000000 0001 0 0 50  000000FF 0 0 0\n"
        "eth1   0000000A 00000000 0001 0 0 0   000000FF 0 0 0\n"
    )
    assert names() == ["br-lan", "wlan0", "eth0", "eth1"]


@pytest.mark.parametrize("routes", ["", "eth1 00000000\n", "eth1 00000000 0 0 0 0 x 00000000\n"])
def test_routes_that_cannot_be_read_leave_the_order_to_the_names(
    machine: Machine, routes: str
) -> None:
    machine.has("eth1", "10.0.0.1")
    machine.has("eth0", "10.0.0.2")
    assert names() == ["eth0", "eth1"], "no file of routes"
    machine.routes(routes)
    assert names() == ["eth0", "eth1"]


def test_interfaces_without_use_are_not_listed(machine: Machine) -> None:
    machine.has("eth0", "10.0.0.1", is_up=False)
    machine.has("eth1", Entry("fd00::2", "ffff::", socket.AF_INET6))
    machine.has("eth2")
    assert usable_interfaces() == ()
    assert usable_interface_addresses() == []


def test_interface_with_two_addresses_appears_twice_in_the_order_of_the_kernel(
    machine: Machine,
) -> None:
    machine.has("eth0", "192.168.1.9", "192.168.1.5")
    machine.has("eth0:1", Entry("192.168.1.7", None))
    lan = ipaddress.IPv4Network("192.168.1.0/24")
    assert usable_interfaces() == (
        Interface("eth0", "192.168.1.9", lan),
        Interface("eth0", "192.168.1.5", lan),
        Interface("eth0", "192.168.1.7", ipaddress.IPv4Network("192.168.1.7/32")),
    )


def test_node_that_listens_on_one_address_tells_of_this_one() -> None:
    assert advertised_hosts(LAPTOP, "192.0.2.9") == ("192.0.2.9",)
    assert advertised_hosts(LAPTOP, LOOPBACK) == (LOOPBACK,)


@pytest.mark.parametrize("bind", ["0.0.0.0", ""])
def test_node_that_listens_everywhere_tells_of_all_but_loopback(bind: str) -> None:
    assert advertised_hosts(LAPTOP, bind) == ("192.168.1.5", "10.8.0.2", "172.17.0.1")


def test_node_tells_of_a_few_addresses_and_of_each_once() -> None:
    lans = [interface(f"eth{n}", f"10.0.{n // 2}.1/24") for n in range(12)]
    hosts = advertised_hosts(lans, "0.0.0.0")
    assert hosts == ("10.0.0.1", "10.0.1.1", "10.0.2.1", "10.0.3.1")
    assert len(hosts) == ADVERTISED_MAX


@pytest.mark.parametrize("own", [(), (LOOPBACK_INTERFACE,)])
def test_machine_without_a_network_tells_of_its_loopback(own: tuple[Interface, ...]) -> None:
    assert advertised_hosts(own, "0.0.0.0") == (LOOPBACK,)


@pytest.mark.parametrize(
    ("hosts", "chosen", "because"),
    [
        (("192.168.1.6", "172.17.0.1"), "192.168.1.6", "it is the first in a network of ours"),
        (("10.9.0.6", "192.168.1.6"), "192.168.1.6", "the other network is not ours"),
        (("172.17.0.1", "192.168.1.6"), "192.168.1.6", "docker0 is our own, too"),
        (("172.17.0.1", "10.9.0.6"), "10.9.0.6", "of docker0 and a router, the router leads there"),
        (("172.17.0.1", "172.17.0.2"), "172.17.0.2", "it is in a container of this machine"),
        (("10.9.0.6", "10.9.1.6"), "10.9.0.6", "none is near, so the peer's order counts"),
        (("desk.lan", "192.168.1.6"), "192.168.1.6", "of the name nothing is known"),
        (("desk.lan",), "desk.lan", "there is nothing else"),
        (("192.168.1.5", "172.17.0.1"), "192.168.1.5", "the peer is on this machine"),
        ((LOOPBACK,), LOOPBACK, "the peer serves this machine only"),
        (("127.0.0.2",), "127.0.0.2", "the peer serves this machine only"),
    ],
)
def test_address_of_a_peer_is_chosen(hosts: tuple[str, ...], chosen: str, because: str) -> None:
    assert choose_host(hosts, LAPTOP) == chosen, because


def test_machine_without_interfaces_takes_the_first_address_of_a_peer() -> None:
    assert choose_host(("192.168.1.6", "10.8.0.3"), ()) == "192.168.1.6"


def test_all_of_loopback_is_one_link() -> None:
    links = links_of(["127.0.0.3", LOOPBACK])
    assert list(links) == ["127.0.0.3", LOOPBACK]
    assert links["127.0.0.3"] == links[LOOPBACK]
    assert links[LOOPBACK].index == socket.if_nametoindex("lo")


def test_addresses_of_others_and_of_vanished_interfaces_have_no_link(machine: Machine) -> None:
    machine.has("gone-by-now", "10.0.0.1")
    assert links_of(["10.0.0.1", "203.0.113.77", LOOPBACK]) == {}


@pytest.mark.parametrize(("told", "count"), [("17\n", 17), ("", 0), (None, 0)])
def test_changes_of_carrier_make_another_link(
    told: str | None, count: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("grid.transport.interfaces._CLASSES", tmp_path)
    if told is not None:
        (tmp_path / "lo").mkdir()
        (tmp_path / "lo" / "carrier_changes").write_text(told)
    assert links_of([LOOPBACK])[LOOPBACK].carrier_changes == count
