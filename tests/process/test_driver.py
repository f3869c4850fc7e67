"""The driver: effects are performed, and a loop that wakes late reads its sockets first."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
import uvloop

from grid.membership.effects import (
    Exchange,
    KeepConnections,
    MemberChanged,
    Multicast,
    SelfDeclaredDead,
    SendDatagram,
    StreamPing,
)
from grid.membership.messages import Gossip, MemberRecord, MembershipMessage, MemberState, Nack
from grid.partition.effects import AskHoldings, AskRelease, LeaveGranted, SendToNode, ServeTable
from grid.partition.messages import AcceptLoss
from grid.partition.table import make_table
from grid.process import driver as driver_module
from grid.process.child import EVENTS_LOGGER
from grid.replication.assignments import assignments_of
from grid.types import (
    INFO,
    PARTITION_COUNT,
    LogLine,
    PartitionId,
    SetTimer,
    TableStamp,
)
from grid.wire.catalog import encode
from grid.wire.datagram import DatagramSealer

from .gates import KEYS, Gate, list_of, node_id, refusing, until
from .rig import LATE_S, OWN, Rig


class FakeTime:
    """A monotonic clock that a stall moves on."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture(name="clock")
def fixture_clock(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    clock = FakeTime()
    monkeypatch.setattr(driver_module, "time", clock)
    return clock


@pytest.fixture(name="run", params=["asyncio", "uvloop"])
def fixture_run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    """Both loops: production runs on uvloop, which runs timers before it reads sockets."""
    runners: dict[str, Callable[..., None]] = {"asyncio": asyncio.run, "uvloop": uvloop.run}
    return runners[request.param]


Run = Callable[[Coroutine[Any, Any, None]], None]


# -- timers -----------------------------------------------------------------------------------


def test_timer_in_time_fires_once_and_nothing_else_happens(run: Run, clock: FakeTime) -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.perform(SetTimer("a", 0.0), SetTimer("b", 3600.0))
        clock.now_s += 0.9 * LATE_S
        await rig.heard_of("timer a")
        assert rig.heard == [("timer a",)]
        rig.driver.stop()

    run(scenario())


def test_timer_set_anew_replaces_the_former(run: Run, clock: FakeTime) -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.perform(SetTimer("a", 0.0), SetTimer("a", 3600.0), SetTimer("b", 0.01))
        await rig.heard_of("timer b")
        assert rig.heard == [("timer b",)]
        rig.driver.stop()

    run(scenario())


def test_stall_is_told_once_after_the_sockets_and_before_the_timers(
    run: Run, clock: FakeTime
) -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.perform(SetTimer("a", 0.001), SetTimer("b", 0.002), SetTimer("c", 0.003))
        clock.now_s += 5.0
        await rig.heard_of("timer c")
        assert rig.heard == [
            ("drain",),
            ("late", 4.999),
            ("timer a",),
            ("timer b",),
            ("timer c",),
        ]
        rig.driver.stop()

    run(scenario())


def test_each_stall_is_told(run: Run, clock: FakeTime) -> None:
    async def scenario() -> None:
        rig = Rig()
        for stall_s, timer in [(1.0, "a"), (2.0, "b")]:
            rig.perform(SetTimer(timer, 0.5))
            clock.now_s += stall_s
            rig.driver._fire(timer, clock.now_s - stall_s + 0.5)
        assert [heard for heard in rig.heard if heard[0] == "late"] == [
            ("late", 0.5),
            ("late", 1.5),
        ]
        rig.driver.stop()

    run(scenario())


@pytest.mark.parametrize("setter", ["late", "drain"])
def test_timer_that_waking_sets_anew_does_not_fire_now(
    run: Run, clock: FakeTime, setter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        rig = Rig()
        anew = [SetTimer("a", 3600.0)]
        if setter == "late":
            rig.plane.wants["late"] = anew
        else:
            monkeypatch.setattr(rig.driver.port, "drain", lambda: rig.perform(*anew), raising=False)
        rig.perform(SetTimer("a", 0.001), SetTimer("b", 0.002))
        clock.now_s += 5.0
        await rig.heard_of("timer b")
        assert ("timer a",) not in rig.heard
        assert any(heard[0] == "late" for heard in rig.heard)
        rig.driver.stop()

    run(scenario())


@pytest.fixture(name="udp")
def fixture_udp() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2 << 20)
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


def test_answers_that_wait_in_the_socket_are_handled_before_the_stall_is_told(
    run: Run, clock: FakeTime, udp: socket.socket
) -> None:
    sealer = DatagramSealer(KEYS, node_id(2))
    messages: list[MembershipMessage] = [Nack(number) for number in range(300)]

    async def scenario() -> None:
        rig = Rig(udp)
        rig.driver.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            for message in messages:
                other.sendto(sealer.seal(encode(message)), udp.getsockname())
        rig.driver._fire("a", clock.now_s - 3.0)
        assert rig.heard[0] == ("start",)
        assert rig.heard[1:301] == [("datagram", node_id(2), message) for message in messages]
        assert rig.heard[301:] == [("late", 3.0), ("timer a",)]
        rig.driver.stop()

    run(scenario())


def test_stopped_driver_fires_nothing_and_hears_nothing(run: Run, clock: FakeTime) -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.perform(SetTimer("a", 0.0))
        rig.driver.stop()
        rig.driver._fire("a", 0.0)
        rig.driver.on_peer_message(node_id(2), AcceptLoss())
        rig.driver._on_connection_ended(node_id(2))
        rig.driver._on_exchange_ended(OWN.address, None, None)
        later = asyncio.get_running_loop().create_future()
        later.get_loop().call_later(0.001, later.set_result, None)  # After the stopped timer.
        await later
        assert rig.heard == [("stop",)]

    run(scenario())


# -- effects ----------------------------------------------------------------------------------


def test_start_reads_datagrams_and_starts_the_cores() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.plane.wants["start"] = [SendDatagram(OWN.address, Nack(1)), Multicast(Nack(2))]
        rig.driver.start()
        assert rig.heard == [
            ("start",),
            ("start",),
            ("send", OWN.address, Nack(1)),
            ("send_to_group", Nack(2)),
        ]
        rig.driver.stop()

    asyncio.run(scenario())


def test_each_effect_goes_to_the_part_that_performs_it(caplog: pytest.LogCaptureFixture) -> None:
    table = make_table(
        TableStamp(1, OWN.id, 1), [OWN.node_id], [OWN.node_id] * PARTITION_COUNT, [1] * 256
    )

    async def scenario() -> None:
        rig = Rig()
        with caplog.at_level(INFO, "grid"):
            rig.perform(
                AskHoldings(3),
                AskRelease(4, (PartitionId(1),), (PartitionId(2),)),
                ServeTable(table),
                LeaveGranted(),
                SelfDeclaredDead(),
                LogLine(INFO, "something happened"),
                LogLine(INFO, "an event tells it too", has_event=True),
            )
        assert rig.heard == [
            ("ask_holdings", 3),
            ("ask_release", 4, (PartitionId(1),), (PartitionId(2),)),
            ("serve", assignments_of(table, OWN.node_id, lambda _: 1), [OWN.id], False),
            ("on_table",),
            ("on_leave_granted",),
            ("on_declared_dead",),
        ]
        assert [(record.name, record.message) for record in caplog.records] == [
            ("grid.cluster", "something happened"),
            (EVENTS_LOGGER, "an event tells it too"),
        ]
        rig.driver.stop()

    asyncio.run(scenario())


def test_message_to_this_node_itself_comes_back_in_a_later_turn() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.perform(SendToNode(OWN.node_id, AcceptLoss()))
        assert rig.heard == []
        await rig.heard_of("peer")
        assert rig.heard == [("peer", OWN.node_id, AcceptLoss())]
        rig.driver.stop()

    asyncio.run(scenario())


def test_message_to_a_member_goes_over_its_link_and_to_a_stranger_nowhere() -> None:
    async def scenario() -> None:
        rig = Rig()
        with Gate(2).start() as gate:
            rig.perform(SendToNode(gate.node_id, AcceptLoss()))
            rig.plane.known[gate.node_id] = gate.record
            rig.perform(SendToNode(gate.node_id, AcceptLoss()))
            await until(lambda: len(gate.heard) == 1)
            gone = gate.record.__class__(**{**_fields(gate.record), "state": MemberState.DEAD})
            rig.perform(MemberChanged(gone))
            await until(lambda: gate.session_count == 0)
        rig.driver.stop()

    asyncio.run(scenario())


def _fields(record: MemberRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def test_connections_are_asked_for_and_their_ends_told() -> None:
    async def scenario() -> None:
        rig = Rig()
        with Gate(2).start() as gate, refusing() as nowhere:
            rig.perform(
                StreamPing(5, gate.node_id, gate.address, 60.0),
                Exchange(nowhere, list_of(1)),
                KeepConnections((gate.record,)),
            )
            await rig.heard_of("pinged")
            await rig.heard_of("exchanged")
            await until(lambda: gate.session_count == 1)
            gate.stop()
            await rig.heard_of("ended")
        assert sorted(rig.heard) == [
            ("ended", node_id(2)),
            ("exchanged", nowhere, None),
            ("pinged", 5),
        ]
        rig.driver.stop()
        await rig.driver.peers.close(0.0)

    asyncio.run(scenario())


def test_list_of_another_node_is_answered_after_what_follows_from_it() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.plane.wants["asked"] = [SendDatagram(OWN.address, Gossip(b"", []))]
        assert rig.driver.on_exchange(node_id(2), list_of(2)) == list_of(1)
        assert rig.heard == [("asked", node_id(2)), ("send", OWN.address, Gossip(b"", []))]
        rig.driver.stop()

    asyncio.run(scenario())
