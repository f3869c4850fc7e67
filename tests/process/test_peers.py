"""Links to other nodes, on loopback: kept ones are dialled again, and their end is told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from grid.partition.messages import AcceptLoss, TableWanted
from grid.process import peers as peers_module
from grid.process.peers import UNSENT_MESSAGES_MAX, PeerLinks
from grid.transport.stream import dial
from grid.types import NO_TABLE, Address, NodeId
from grid.wire.catalog import encode
from grid.wire.handshake import Hello, Purpose

from .gates import KEYS, OTHER_KEYS, Gate, node_id, record_at, refusing, reset, until

OWN = node_id(1)


class Keeper:
    """Links of one node, and whose end it was told."""

    def __init__(self) -> None:
        self.ended: list[NodeId] = []
        self.links = PeerLinks(KEYS, OWN, self.ended.append)

    async def keep(self, gate: Gate) -> None:
        """Keep a link to a node until it is up."""
        self.links.keep([gate.record])
        self.links.send(gate.record, message(0))
        await until(lambda: len(gate.heard) == 1 and self.is_up(2))

    def is_up(self, number: int) -> bool:
        link = self.links._links.get(node_id(number))
        return link is not None and link.is_open


def run(scenario: Callable[[Keeper], Awaitable[None]]) -> None:
    """Run a scenario with fresh links, closed at its end."""

    async def whole() -> None:
        keeper = Keeper()
        try:
            await scenario(keeper)
        finally:
            await keeper.links.close(0.0)

    asyncio.run(whole())


@pytest.fixture(autouse=True)
def fixture_short_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers_module, "REDIAL_GAP_S", 0.01)


def message(number: int) -> bytes:
    return encode(TableWanted(NO_TABLE._replace(version=number)))


# -- keeping ----------------------------------------------------------------------------------


def test_kept_link_is_dialled_though_there_is_nothing_to_say() -> None:
    async def scenario(keeper: Keeper) -> None:
        with Gate(2).start() as gate:
            keeper.links.keep([gate.record])
            await until(lambda: gate.session_count == 1 and keeper.is_up(2))
            assert [(h.purpose, h.client_id) for h in gate.hellos] == [(Purpose.PEER, OWN)]
            keeper.links.keep([gate.record])
            assert keeper.links._links[node_id(2)].dialling is None
        assert keeper.links.dropped_count == 0

    run(scenario)


def test_kept_link_is_dialled_until_the_node_listens() -> None:
    async def scenario(keeper: Keeper) -> None:
        with Gate(2) as gate:
            listener = gate.sockets.tcp
            address = listener.getsockname()
            listener.close()
            keeper.links.keep([gate.record])
            await until(lambda: keeper.links._links[node_id(2)].dialling is not None)
            gate.sockets.tcp = socket.create_server(address)
            gate.sockets.tcp.setblocking(False)
            gate.start()
            await until(lambda: keeper.is_up(2))
        assert keeper.ended == []

    run(scenario)


def test_link_that_is_no_longer_wanted_is_not_dialled_again() -> None:
    async def scenario(keeper: Keeper) -> None:
        with refusing() as address:
            keeper.links.keep([record_at(2, address)])
            keeper.links.keep([])
            await until(lambda: keeper.links._links[node_id(2)].dialling is None)

    run(scenario)


@pytest.mark.parametrize("why", ["another node", "another secret"])
def test_whoever_else_answers_is_no_link(why: str) -> None:
    async def scenario(keeper: Keeper) -> None:
        number, keys = (3, KEYS) if why == "another node" else (2, OTHER_KEYS)
        with Gate(number, keys=keys).start() as gate:
            keeper.links.send(record_at(2, gate.address), message(1))
            await until(lambda: keeper.links._links[node_id(2)].dialling is None)
            assert not keeper.is_up(2)
            assert gate.session_count == 0
        assert keeper.links.dropped_count == 1
        assert keeper.ended == []

    run(scenario)


# -- the end of a link ------------------------------------------------------------------------


async def end_by_eof(gate: Gate) -> None:
    gate.sessions.close()


async def end_by_reset(gate: Gate) -> None:
    (stream,) = gate.sessions._streams.values()
    assert stream._transport is not None
    sock: socket.socket = stream._transport.get_extra_info("socket")
    # Linger of zero seconds: the kernel sends RST instead of FIN.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    stream.abort()


@pytest.mark.parametrize("end", [end_by_eof, end_by_reset])
def test_end_of_a_kept_link_is_told_once_and_dialled_again(
    end: Callable[[Gate], Coroutine[None, None, None]],
) -> None:
    async def scenario(keeper: Keeper) -> None:
        with Gate(2).start() as gate:
            await keeper.keep(gate)
            await end(gate)
            await until(lambda: len(gate.hellos) == 2 and keeper.is_up(2))
            assert keeper.ended == [node_id(2)]

    run(scenario)


def test_attempts_that_fail_are_no_end_of_a_link(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[Address] = []

    async def counted_dial(address: Address, *rest: Any) -> Any:
        attempts.append(address)
        return await dial(address, *rest)

    async def scenario(keeper: Keeper) -> None:
        with Gate(2).start() as gate:
            await keeper.keep(gate)
            gate.stop()
            await until(lambda: keeper.ended != [])
            first = keeper.links._links[node_id(2)].dialling
            assert first is not None
            monkeypatch.setattr(peers_module, "dial", counted_dial)
            await until(lambda: len(attempts) >= 5)
            assert keeper.ended == [node_id(2)]
            assert keeper.links._links[node_id(2)].dialling is first

    run(scenario)


def test_end_of_a_link_that_is_not_kept_is_not_told() -> None:
    async def scenario(keeper: Keeper) -> None:
        with Gate(2).start() as gate:
            keeper.links.send(gate.record, message(1))
            await until(lambda: len(gate.heard) == 1 and keeper.is_up(2))
            gate.sessions.close()
            await until(lambda: not keeper.is_up(2) and gate.session_count == 0)
        assert keeper.ended == []
        assert len(gate.hellos) == 1

    run(scenario)


def test_end_of_a_link_kept_no_longer_is_not_told() -> None:
    async def scenario(keeper: Keeper) -> None:
        with Gate(2).start() as gate:
            await keeper.keep(gate)
            keeper.links.keep([])
            gate.sessions.close()
            await until(lambda: not keeper.is_up(2))
        assert keeper.ended == []

    run(scenario)


def test_dropped_link_is_closed_and_nobody_is_called_back() -> None:
    async def scenario(keeper: Keeper) -> None:
        with Gate(2).start() as gate:
            await keeper.keep(gate)
            keeper.links.drop(node_id(2))
            keeper.links.drop(node_id(2))
            await until(lambda: gate.session_count == 0)
            assert keeper.links._links == {}
        assert keeper.ended == []
        assert len(gate.hellos) == 1

    run(scenario)


def test_link_dropped_while_it_is_dialled_does_not_come_up() -> None:
    async def scenario(keeper: Keeper) -> None:
        with Gate(2) as gate:
            keeper.links.keep([gate.record])
            dialling = keeper.links._links[node_id(2)].dialling
            assert dialling is not None
            await asyncio.sleep(0)
            keeper.links.drop(node_id(2))
            gate.start()
            await asyncio.wait([dialling])
            assert dialling.cancelled()
            assert keeper.links._links == {}
        assert gate.session_count == 0

    run(scenario)


def test_frame_from_the_other_side_ends_the_link_but_is_no_death() -> None:
    async def talk_back(_: Hello, sock: socket.socket) -> None:
        taken.append(sock)
        if len(taken) == 1:
            await asyncio.get_running_loop().sock_sendall(sock, b"\0\0\0\x01x")

    taken: list[socket.socket] = []

    async def scenario(keeper: Keeper) -> None:
        with Gate(2, talk_back).start() as gate:
            keeper.links.keep([gate.record])
            await until(lambda: len(taken) == 2 and keeper.is_up(2))
            assert keeper.ended == []
        for sock in taken:
            sock.close()

    run(scenario)


def test_node_that_closes_each_link_at_once_is_not_dialled_in_a_hot_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node with `SESSIONS_MAX` sessions does that, or one with another version."""
    monkeypatch.setattr(peers_module, "REDIAL_GAP_S", 3600.0)

    async def hang_up(_: Hello, sock: socket.socket) -> None:
        reset(sock)

    async def scenario(keeper: Keeper) -> None:
        with Gate(2, hang_up).start() as gate:
            keeper.links.keep([gate.record])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await until(lambda: len(gate.hellos) == 4)

    run(scenario)


# -- addresses --------------------------------------------------------------------------------


def test_member_with_a_new_address_is_dialled_there_when_the_old_link_ends() -> None:
    async def scenario(keeper: Keeper) -> None:
        with Gate(2).start() as old, Gate(2).start() as new:
            await keeper.keep(old)
            keeper.links.keep([new.record])
            assert new.session_count == 0
            old.stop()
            await until(lambda: new.session_count == 1)
            assert keeper.ended == [node_id(2)]

    run(scenario)


def test_attempts_go_to_the_new_address_as_soon_as_it_is_known() -> None:
    async def scenario(keeper: Keeper) -> None:
        with refusing() as nowhere, Gate(2).start() as gate:
            keeper.links.keep([record_at(2, nowhere)])
            await asyncio.sleep(0)
            keeper.links.keep([gate.record])
            await until(lambda: gate.session_count == 1)
        assert [hello.purpose for hello in gate.hellos] == [Purpose.PEER]

    run(scenario)


# -- messages ---------------------------------------------------------------------------------


def test_messages_wait_for_the_link_and_arrive_in_order() -> None:
    async def scenario(keeper: Keeper) -> None:
        with Gate(2).start() as gate:
            for number in range(100):
                keeper.links.send(gate.record, message(number))
            await until(lambda: len(gate.heard) == 100)
            keeper.links.send(gate.record, encode(AcceptLoss()))
            await until(lambda: len(gate.heard) == 101)
            assert {sender for sender, _ in gate.heard} == {OWN}
            versions = [m.stamp.version for _, m in gate.heard if isinstance(m, TableWanted)]
            assert versions == list(range(100))
            assert len(gate.hellos) == 1

    run(scenario)


def test_oldest_of_too_many_waiting_messages_are_dropped() -> None:
    async def scenario(keeper: Keeper) -> None:
        with Gate(2).start() as gate:
            for number in range(UNSENT_MESSAGES_MAX + 10):
                keeper.links.send(gate.record, message(number))
            await until(lambda: len(gate.heard) == UNSENT_MESSAGES_MAX)
            first = gate.heard[0][1]
            assert isinstance(first, TableWanted)
            assert first.stamp.version == 10

    run(scenario)


def test_messages_to_nobody_are_counted_and_forgotten() -> None:
    async def scenario(keeper: Keeper) -> None:
        with refusing() as address:
            for number in range(3):
                keeper.links.send(record_at(2, address), message(number))
            await until(lambda: keeper.links._links[node_id(2)].dialling is None)
        assert keeper.links.dropped_count == 3

    run(scenario)


def test_farewell_that_waits_for_its_link_is_sent_before_all_is_closed() -> None:
    async def scenario(keeper: Keeper) -> None:
        with Gate(2).start() as gate:
            keeper.links.send(gate.record, message(1))
            await keeper.links.close(60.0)
            await until(lambda: len(gate.heard) == 1)
            await until(lambda: gate.session_count == 0)
        assert keeper.ended == []

    run(scenario)


def test_closing_does_not_wait_for_those_who_do_not_answer() -> None:
    async def scenario(keeper: Keeper) -> None:
        with Gate(2) as silent, refusing() as nowhere:
            keeper.links.keep([silent.record, record_at(3, nowhere)])
            await keeper.links.close(0.01)
        assert keeper.links._links == {}
        assert keeper.ended == []

    run(scenario)
