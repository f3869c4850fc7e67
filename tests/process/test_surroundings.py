"""What a node knows of its machine: addresses, multicast that comes and goes, former peers."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Sequence
from pathlib import Path

import pytest

from grid.executor.options import ExecutorOptions
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.process import surroundings as surroundings_module
from grid.process.settings import NodeSettings
from grid.process.surroundings import Surroundings
from grid.replication.options import ReplicationOptions
from grid.storage.options import StorageOptions
from grid.transport.interfaces import Interface
from grid.types import Address

from .gates import KEYS

PEERS = [Address("192.0.2.7", 7701), Address("192.0.2.8", 7701)]


def interface(name: str, host: str) -> Interface:
    return Interface(name, host, ipaddress.IPv4Network(f"{host}/24", strict=False))


LOOPBACK = interface("lo", "127.0.0.1")
CABLE = interface("eth0", "192.0.2.1")
WIFI = interface("wlan0", "198.51.100.1")


class Machine:
    """The interfaces and the multicast of a machine, as a test wants them."""

    def __init__(self) -> None:
        self.interfaces: tuple[Interface, ...] = (CABLE, LOOPBACK)
        self.look_error: OSError | None = None
        self.open_error: OSError | None = None
        self.join_error: OSError | None = None
        self.joined: list[list[str]] = []

    def usable_interfaces(self) -> tuple[Interface, ...]:
        if self.look_error is not None:
            raise self.look_error
        return self.interfaces

    def multicast_sockets(self, group: str, port: int) -> FakeMulticast:
        if self.open_error is not None:
            raise self.open_error
        return FakeMulticast(self)


class FakeMulticast:
    """Keeps the contract of `MulticastSockets.refresh`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._hosts: list[str] = []
        self._is_new = True

    def refresh(self, hosts: Sequence[str]) -> bool:
        error, self._is_new, was_new = self._machine.join_error, False, self._is_new
        if error is not None:
            if was_new:
                raise error
            return False
        is_changed = list(hosts) != self._hosts
        self._hosts = list(hosts)
        self._machine.joined.append(self._hosts)
        return is_changed


@pytest.fixture(name="machine")
def fixture_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    machine = Machine()
    monkeypatch.setattr(surroundings_module, "usable_interfaces", machine.usable_interfaces)
    monkeypatch.setattr(surroundings_module, "MulticastSockets", machine.multicast_sockets)
    return machine


def around(
    *,
    bind: str = "0.0.0.0",
    advertise: str = "",
    multicast: bool = True,
    seeds: tuple[str, ...] = (),
) -> Surroundings:
    return Surroundings(
        NodeSettings(
            cluster="grid",
            keys=KEYS,
            name="n1",
            bind=bind,
            advertise=advertise,
            port=0,
            storage_processes=1,
            workers=1,
            membership=MembershipOptions(),
            discovery=DiscoveryOptions(multicast=multicast, seeds=seeds),
            storage=StorageOptions(),
            replication=ReplicationOptions(),
            executor=ExecutorOptions(),
        )
    )


# -- addresses --------------------------------------------------------------------------------


def test_node_tells_the_addresses_of_its_machine_unless_told_otherwise(machine: Machine) -> None:
    machine.interfaces = (CABLE, WIFI, LOOPBACK)
    assert around().hosts == ("192.0.2.1", "198.51.100.1")
    assert around(bind="198.51.100.1").hosts == ("198.51.100.1",)
    assert around(advertise="203.0.113.5").hosts == ("203.0.113.5",)
    machine.interfaces = (LOOPBACK,)
    assert around().hosts == ("127.0.0.1",)


def test_peers_address_in_a_network_of_ours_is_chosen(machine: Machine) -> None:
    here = around()
    assert here.choose_host(("203.0.113.9", "192.0.2.77")) == "192.0.2.77"
    machine.interfaces = (WIFI, LOOPBACK)
    assert here.refresh()
    assert here.choose_host(("203.0.113.9", "192.0.2.77")) == "203.0.113.9"


# -- interfaces that come and go --------------------------------------------------------------


@pytest.mark.parametrize("multicast", [True, False])
def test_interface_that_came_or_went_is_noticed_once(machine: Machine, multicast: bool) -> None:
    here = around(multicast=multicast)
    seen = [(here.refresh(), here.hosts)]
    for machine.interfaces in [(CABLE, WIFI, LOOPBACK), (WIFI, LOOPBACK)]:
        seen += [(here.refresh(), here.hosts) for _ in range(2)]
    cable, wifi = CABLE.host, WIFI.host
    assert seen == [
        (False, (cable,)),
        (True, (cable, wifi)),
        (False, (cable, wifi)),
        (True, (wifi,)),
        (False, (wifi,)),
    ]


def test_multicast_is_joined_on_every_interface_and_follows_them(machine: Machine) -> None:
    here = around()
    machine.interfaces = (WIFI, LOOPBACK)
    here.refresh()
    assert machine.joined == [["192.0.2.1", "127.0.0.1"], ["198.51.100.1", "127.0.0.1"]]


def test_node_bound_to_one_address_multicasts_there_and_minds_no_other(machine: Machine) -> None:
    here = around(bind="192.0.2.1")
    machine.interfaces = (CABLE, WIFI, LOOPBACK)
    assert not here.refresh()
    assert machine.joined == [["192.0.2.1"]] * 2
    assert here.hosts == ("192.0.2.1",)


def test_interfaces_that_cannot_be_looked_at_stay_as_they_were(machine: Machine) -> None:
    here = around()
    machine.look_error = OSError(errno.EMFILE, "Too many open files")
    assert not here.refresh()
    assert here.hosts == ("192.0.2.1",)
    machine.look_error = None
    machine.interfaces = (WIFI,)
    assert here.refresh()


# -- no multicast -----------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [(), ("192.0.2.7:7701",)])
def test_multicast_that_is_unavailable_is_said_once_and_works_later(
    machine: Machine, caplog: pytest.LogCaptureFixture, seeds: tuple[str, ...]
) -> None:
    machine.join_error = OSError(errno.ENODEV, "No such device")
    here = around(seeds=seeds)
    assert [record.getMessage() for record in caplog.records] == [
        'no multicast discovery yet error="No such device"'
        + ("" if seeds else ' hint="set discovery.seeds to find the others"')
    ]
    assert not here.refresh()
    machine.join_error = None
    assert here.refresh()
    assert machine.joined == [["192.0.2.1", "127.0.0.1"]]
    assert not here.refresh()
    assert len(caplog.records) == 1


def test_multicast_port_of_somebody_else_leaves_the_seeds(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.open_error = OSError(errno.EADDRINUSE, "Address already in use")
    here = around()
    assert here.multicast is None
    assert 'no multicast discovery error="Address already in use" hint=' in caplog.text
    assert not here.refresh()
    machine.interfaces = (WIFI,)
    assert here.refresh()


def test_multicast_that_is_switched_off_is_not_opened(machine: Machine) -> None:
    machine.open_error = AssertionError("it was not to be opened")  # type: ignore[assignment]
    assert around(multicast=False).multicast is None


# -- former peers -----------------------------------------------------------------------------


def test_peers_of_former_runs_are_remembered(machine: Machine) -> None:
    around().remember(PEERS)
    assert sorted(around().remembered()) == PEERS


def test_node_on_loopback_remembers_nobody(machine: Machine) -> None:
    around().remember(PEERS)
    assert around(bind="127.0.0.1").remembered() == []


def test_file_is_written_for_news_only(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    here = around()
    written: list[list[Address]] = []
    monkeypatch.setattr(here._peers, "remember", lambda found: written.append(list(found)))
    for found in (PEERS[:1], PEERS[:1], [], PEERS, PEERS[:1]):
        here.remember(found)
    assert written == [PEERS[:1], PEERS]
