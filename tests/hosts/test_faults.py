"""What the network does to a cluster, and what the cluster must make of it."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import pytest

from grid.hosts.host import Host
from grid.hosts.network import Network, lan, wait_until

pytestmark = pytest.mark.usefixtures("hosts_are_possible")

LIVING = ("alive", "suspect")

A_WHILE_S = 8.0
"""Long enough for a wrong suspicion to become a wrong death: several probes, and 3 s."""


def start_all(net: Network) -> None:
    """Start a node on each host that has none, and wait until everybody sees everybody."""
    for host in net.hosts:
        if not host.nodes:
            host.start()
    wait_for_views(net, net.hosts)


def wait_for_views(net: Network, *sides: Sequence[Host]) -> None:
    """Wait until the hosts of each side see exactly their side alive, and suspect nobody."""
    waiting = [(host, {other.name for other in side}) for side in sides for host in side]

    def all_agree() -> bool:
        waiting[:] = [(host, names) for host, names in waiting if not sees_just(host, names)]
        return not waiting

    wait_until(all_agree, lambda: "\n".join(printed(host) for host, _ in waiting))


def sees_just(host: Host, names: set[str]) -> bool:
    status = host.status()
    living = [] if status is None else [m for m in status["members"] if m["state"] in LIVING]
    return (
        {m["name"] for m in living if m["state"] == "alive"} == names == {m["name"] for m in living}
    )


def printed(host: Host) -> str:
    return f"{host}:\n" + "\n".join(node.so_far() for node in host.nodes)


def deaths(net: Network) -> list[str]:
    """Return what any node has printed of anybody's death."""
    lines = [line for host in net.hosts for line in printed(host).splitlines()]
    return [line for line in lines if "dead member=" in line or "rejoins" in line]


def let_a_while_pass() -> None:
    """Give wrong suspicions their time; there is no event to wait for when all goes well."""
    signal.sigtimedwait([], A_WHILE_S)


def test_nobody_dies_of_lost_packets_or_of_a_path_that_works_one_way_only():
    with lan(hosts=4) as net:
        start_all(net)
        for host in net.hosts:
            host.loss(0.05)
        first, second, *_ = net.hosts
        net.block(first, second)
        let_a_while_pass()
        assert deaths(net) == []
        wait_for_views(net, net.hosts)


def test_host_whose_udp_is_blocked_stays_a_member_and_a_person_is_told():
    with lan(hosts=3) as net:
        start_all(net)
        net.hosts[2].block_udp()
        net.hosts[0].nodes[0].wait_for("answers on TCP but not on UDP member=h3 ")
        net.hosts[1].nodes[0].wait_for("answers on TCP but not on UDP member=h3 ")
        assert deaths(net) == []
        wait_for_views(net, net.hosts)


def test_firewall_that_resets_connections_does_not_make_a_living_host_dead():
    with lan(hosts=3) as net:
        start_all(net)
        first, second, third = net.hosts
        second.reject_tcp(first)
        second.reject_tcp(third)
        # A newcomer makes the coordinator speak to everybody: its connection is reset.
        newcomer = net.add_host()
        newcomer.start()
        let_a_while_pass()
        assert deaths(net) == []
        second.accept_tcp()
        wait_for_views(net, net.hosts)


def test_host_without_its_cable_is_dead_to_the_others_and_rejoins_when_it_is_back():
    with lan(hosts=3) as net:
        start_all(net)
        *staying, leaving = net.hosts
        leaving.interface_down()
        wait_for_views(net, staying)
        leaving.interface_up()
        wait_for_views(net, net.hosts)
        # Whoever was cut off comes back as a new node; the majority stays as it was.
        assert not any("rejoins" in printed(host) for host in staying)


def test_halves_of_a_split_find_together_when_it_heals():
    with lan(hosts=4) as net:
        start_all(net)
        net.split(net.hosts[:2], net.hosts[2:])
        wait_for_views(net, net.hosts[:2], net.hosts[2:])
        net.heal()
        wait_for_views(net, net.hosts)
        # One side only gives way.
        gave_way = {host.name for host in net.hosts if "rejoins" in printed(host)}
        assert gave_way in ({"h1", "h2"}, {"h3", "h4"})
