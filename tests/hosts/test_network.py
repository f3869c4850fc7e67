"""The hosts themselves: they reach each other, faults do what they say, nothing is left behind."""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys

import psutil
import pytest

from grid.errors import GridError
from grid.hosts.network import Network, lan, left_behind, wait_until
from tests.hosts.sockets import GROUP, Mailbox, conversation, dial, mailboxes, talks

pytestmark = pytest.mark.usefixtures("hosts_are_possible")


def test_hosts_reach_each_other_by_udp_and_tcp_and_not_the_machine():
    before = set(psutil.net_if_addrs())
    with lan(hosts=3) as net:
        assert [host.address for host in net.hosts] == ["10.77.0.1", "10.77.0.2", "10.77.0.3"]
        with mailboxes(*net.hosts) as boxes:
            for sender, receiver in itertools.permutations(boxes, 2):
                receiver.hears(f"from {sender.host.name}", sender)
        assert talks(net.hosts[0], net.hosts[2])
        assert set(psutil.net_if_addrs()) == before
        with net.hosts[0].inside():
            assert set(psutil.net_if_addrs()) == {"lo", "eth0"}
            with pytest.raises(OSError, match="unreachable"):
                socket.create_connection(("192.0.2.1", 80))


def test_multicast_reaches_every_host_of_the_lan():
    with lan(hosts=3) as net, mailboxes(*net.hosts) as boxes:
        for box in boxes[1:]:
            box.join()
            box.hears("to all", boxes[0], GROUP)
        assert not boxes[0].has_heard("to all")


def test_a_split_cuts_both_ways_and_heals():
    with lan(hosts=4) as net, mailboxes(*net.hosts) as boxes:
        all_hear(boxes, "before")
        net.split(net.hosts[:2], net.hosts[2:])
        for box in boxes:
            box.send(f"during {box.host.name}", *(host.address for host in net.hosts))
        for one, other in (boxes[:2], boxes[2:]):
            one.hears(f"during {other.host.name}", other)
            other.hears(f"during {one.host.name}", one)
        net.heal()
        all_hear(boxes, "after")
        heard = [{text for text in box.heard if text.startswith("during")} for box in boxes]
        assert heard == [{"during h1", "during h2"}] * 2 + [{"during h3", "during h4"}] * 2


def all_hear(boxes: list[Mailbox], text: str) -> None:
    """Wait until each has heard each other one, which also teaches them the addresses (ARP)."""
    for sender, receiver in itertools.permutations(boxes, 2):
        receiver.hears(f"{text} {sender.host.name}", sender)


def test_a_block_is_one_way():
    with lan(hosts=3) as net, mailboxes(*net.hosts) as boxes:
        first, second, third = boxes
        all_hear(boxes, "before")
        net.block(first.host, second.host)
        first.send("during h1", second.host.address)
        first.hears("during h2", second)
        second.hears("during h3", third)
        third.hears("during h1", first)
        net.heal()
        second.hears("after h1", first)
        assert "during h1" not in second.heard


def test_loss_loses_its_share():
    count, share = 4000, 0.2
    with lan(hosts=2) as net, mailboxes(*net.hosts) as (sender, receiver):
        receiver.hears("before", sender)
        net.hosts[1].loss(share)
        for _ in range(count):
            sender.send("x", receiver.host.address)
        net.hosts[1].loss(0)
        receiver.hears("after", sender)
        # Six standard deviations: one run in a billion is wrong.
        margin = 6 * (count * share * (1 - share)) ** 0.5
        assert abs(count - receiver.heard.count("x") - count * share) < margin


def test_loss_of_udp_alone_leaves_tcp_whole():
    with lan(hosts=2) as net, mailboxes(*net.hosts) as (sender, receiver):
        receiver.hears("before", sender)
        net.hosts[1].loss(1.0, protocol="udp")
        sender.send("during", receiver.host.address)
        assert talks(*net.hosts)
        net.heal()
        receiver.hears("after", sender)
        assert "during" not in receiver.heard


def test_blocked_udp_passes_neither_way_and_tcp_both():
    with lan(hosts=3) as net, mailboxes(*net.hosts) as boxes:
        all_hear(boxes, "before")
        one, other, bystander = boxes
        one.host.block_udp()
        one.send("during", other.host.address)
        other.send("during", one.host.address)
        assert talks(one.host, other.host)
        assert talks(other.host, one.host)
        bystander.hears("beside", other)
        net.heal()
        all_hear(boxes, "after")
        assert "during" not in one.heard + other.heard


def test_a_firewall_resets_tcp_of_one_host_open_connections_too():
    with lan(hosts=3) as net, mailboxes(*net.hosts[:2]) as boxes:
        refused, target, welcome = net.hosts
        with conversation(refused, target) as (ours, theirs):
            target.reject_tcp(refused)
            ours.sendall(b"still there?")
            with pytest.raises(ConnectionResetError):
                ours.recv(1)
            # The one behind the firewall has not been told.
            theirs.setblocking(False)
            with pytest.raises(BlockingIOError):
                theirs.recv(1)
        with pytest.raises(ConnectionRefusedError):
            dial(refused, target.address)
        assert talks(welcome, target)
        boxes[1].hears("udp passes", boxes[0])
        target.accept_tcp()
        assert talks(refused, target)


def test_an_interface_goes_down_and_comes_back_with_its_routes():
    with lan(hosts=2) as net, mailboxes(*net.hosts) as (sender, receiver):
        receiver.join()
        receiver.hears("before", sender, GROUP)
        sender.host.interface_down()
        for address in (receiver.host.address, GROUP):
            with pytest.raises(OSError, match="unreachable"):
                sender.send("during", address)
        sender.host.interface_up()
        receiver.hears("after", sender)
        receiver.hears("after to all", sender, GROUP)


def test_a_pulled_cable_is_seen_by_the_host():
    with lan(hosts=2) as net, mailboxes(*net.hosts) as (sender, receiver):
        host = sender.host

        def has_carrier() -> bool:
            with host.inside():
                return psutil.net_if_stats()["eth0"].isup

        receiver.hears("before", sender)
        host.unplug()
        wait_until(lambda: not has_carrier(), lambda: "there is a carrier without a cable")
        host.plug_in()
        wait_until(has_carrier, lambda: "there is no carrier with the cable back")
        receiver.hears("after", sender)


def test_a_host_on_two_lans_is_reached_on_the_shared_one_only():
    with lan(hosts=1) as net:
        host = net.add_host(net.add_lan(), net.lan)
        assert host.address == "10.77.1.2"
        assert host.address_on(net.lan) == "10.77.0.2"
        with host.inside():
            addresses = {n: a[0].address for n, a in psutil.net_if_addrs().items() if n != "lo"}
        assert addresses == {"eth0": "10.77.1.2", "eth1": "10.77.0.2"}
        with mailboxes(net.hosts[0], host) as (near, far):
            far.hears("on the shared LAN", near, host.address_on(net.lan))
            with pytest.raises(OSError, match="unreachable"):
                near.send("on the other", host.address)


def test_a_quota_runs_out_in_period_after_period(quotas_are_possible: None):
    cores, work_s = 0.2, 0.2
    burn = f"import time\nwhile time.process_time() < {work_s}: pass"
    with lan(hosts=1, cpu_quota=cores) as net:
        host = net.hosts[0]
        assert host.quota is not None
        assert host.program(sys.executable, "-c", burn).wait(timeout=60) == 0
        throttling = host.quota.throttling()
        # 2 ms of each 10: 100 periods. Slices of other cores blur the edges.
        periods_min = work_s * 1e6 / host.quota.quota_us / 2
        assert throttling.periods > periods_min
        assert throttling.throttled > periods_min / 2


def test_a_program_may_be_outside_of_its_host_s_quota(quotas_are_possible: None):
    show = (sys.executable, "-c", "print(open('/proc/self/cgroup').read())")
    with lan(hosts=1, cpu_quota=0.5) as net:
        host = net.hosts[0]
        inside, _ = host.program(*show).communicate(timeout=60)
        outside, _ = host.program(*show, has_quota=False).communicate(timeout=60)
    assert net.token in inside
    assert net.token not in outside


def with_everything_in_it(net: Network) -> None:
    """Start what is hard to end: faults, a node, a program deaf to signals."""
    host = net.hosts[0]
    net.split(net.hosts[:1], net.hosts[1:])
    host.loss(0.5)
    host.reject_tcp(net.hosts[1])
    host.interface_down()
    stubborn = (
        "import os, signal, time\n"
        "for number in (1, 2, 15): signal.signal(number, signal.SIG_IGN)\n"
        "if os.fork(): os._exit(0)\n"
        "time.sleep(600)"
    )
    assert host.program(sys.executable, "-c", stubborn).wait(timeout=60) == 0
    host.start().wait_for("listening")
    assert len(host.pids()) > 1
    assert left_behind(net.token) != []


@pytest.mark.parametrize("failure", [None, RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_behind_whatever_happened(failure: type[BaseException] | None):
    expected = pytest.raises(failure) if failure is not None else contextlib.nullcontext()
    tokens = []
    with expected, lan(hosts=2) as net:
        tokens.append(net.token)
        with_everything_in_it(net)
        if failure is not None:
            raise failure
    assert left_behind(tokens[0]) == []


def test_nothing_is_left_behind_of_a_host_that_could_not_be_built():
    tokens = []

    def build_and_fail() -> None:
        with lan(hosts=1) as net:
            tokens.append(net.token)
            net.add_host(net.lan, net.lan)

    with pytest.raises(GridError, match="File exists"):
        build_and_fail()
    assert left_behind(tokens[0]) == []


def test_networks_side_by_side_do_not_meet():
    with lan(hosts=1) as one, lan(hosts=1) as other:
        assert one.hosts[0].address == other.hosts[0].address
        with mailboxes(*one.hosts, *other.hosts) as (here, there):
            here.join()
            there.join()
            there.send("to all", GROUP)
            there.send("to all again", GROUP)
            # Looped back to its own socket: it was sent.
            wait_until(lambda: there.has_heard("to all again"), lambda: "no loopback")
            assert not here.has_heard("to all again")
