"""What is overheard of a cluster, on loopback."""

from __future__ import annotations

import select
from collections.abc import Iterator
from contextlib import closing

import pytest

from grid.finding.beacons import Beacons
from grid.membership.messages import Nack
from grid.transport.multicast import MulticastSockets
from grid.types import Address
from grid.wire.security import derive_keys
from tests.finding.fakes import LOOPBACK, Announcer, Group, beacon_from
from tests.transport.servers import KEYS, OTHER_KEYS, PATIENCE_S

# Within one machine a datagram arrives while it is sent: nothing here has to wait.


@pytest.fixture(name="beacons")
def fixture_beacons(group: Group) -> Iterator[Beacons]:
    with closing(Beacons(KEYS, *group)) as beacons:
        yield beacons


@pytest.fixture(name="node")
def fixture_node(group: Group) -> Iterator[Announcer]:
    with closing(Announcer(group)) as announcer:
        yield announcer


def test_a_beacon_tells_where_its_node_answers(beacons: Beacons, node: Announcer) -> None:
    node.send(beacon_from(7701))
    assert select.select([beacons.listener], [], [], PATIENCE_S)[0]
    assert beacons.heard() == [Address(LOOPBACK, 7701)]
    assert beacons.heard() == []


def test_of_several_addresses_the_one_in_a_network_of_ours_is_taken(
    beacons: Beacons, node: Announcer
) -> None:
    # 203.0.113.0/24 is kept for documentation; 127.0.0.2 is in the network of loopback.
    node.send(beacon_from(7701, ("203.0.113.7", "127.0.0.2")))
    assert beacons.heard() == [Address("127.0.0.2", 7701)]


def test_several_nodes_are_told_apart_and_one_that_repeats_itself_is_named_once(
    beacons: Beacons, group: Group, node: Announcer
) -> None:
    with closing(Announcer(group)) as another:
        node.send(beacon_from(1))
        another.send(beacon_from(2))
        node.send(beacon_from(1))
    assert beacons.heard() == [Address(LOOPBACK, 1), Address(LOOPBACK, 2)]


def test_a_recording_is_not_heard_again(beacons: Beacons, node: Announcer) -> None:
    datagram = node.send(beacon_from(7701))
    assert beacons.heard() != []
    node.send_bytes(datagram)
    assert beacons.heard() == []


def test_beacons_of_other_clusters_are_not_used_but_remembered(
    beacons: Beacons, group: Group
) -> None:
    for keys in (OTHER_KEYS, derive_keys(b"correct horse battery staple", "another")):
        with closing(Announcer(group, keys)) as stranger:
            stranger.send(beacon_from(7701))
    assert beacons.heard() == []
    assert beacons.strangers == {"other_secret": LOOPBACK, "other_cluster": LOOPBACK}


def test_whatever_else_is_sent_to_the_group_does_no_harm(beacons: Beacons, node: Announcer) -> None:
    forged = bytearray(node.send(Nack(1)))
    forged[-1] ^= 1
    for datagram in (b"", b"GRU1", b"x" * 1_400, bytes(forged)):
        node.send_bytes(datagram)
    node.send(beacon_from(7701))
    assert beacons.heard() == [Address(LOOPBACK, 7701)]


def test_listening_sends_nothing(beacons: Beacons, group: Group) -> None:
    with closing(MulticastSockets(*group)) as neighbour:
        neighbour.refresh([LOOPBACK])
        beacons.refresh()
        assert beacons.heard() == []
        assert not select.select([neighbour.listener], [], [], 0)[0]


def test_a_machine_without_network_listens_as_soon_as_it_has_one(
    group: Group, node: Announcer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr("grid.finding.beacons.usable_interfaces", lambda: ())
        beacons = Beacons(KEYS, *group)
    with closing(beacons):
        assert beacons.problem == "no network interface is up"
        beacons.refresh()
        assert beacons.problem == ""
        node.send(beacon_from(7701))
        assert beacons.heard() == [Address(LOOPBACK, 7701)]
