"""What storage processes of different nodes say to each other goes through the driver unread."""

from __future__ import annotations

import asyncio

from grid.process.driver import Driver
from grid.replication.messages import ForStorage
from grid.wire.family import FromPeer, ToPeer

from .gates import Gate, node_id, until
from .rig import Rig


def relayed(driver: Driver, gate: Gate) -> None:
    driver.relay(1, ToPeer(gate.node_id, 3, b"a parcel"))


def test_what_an_own_storage_process_says_goes_to_the_other_node() -> None:
    async def scenario() -> None:
        rig = Rig()
        with Gate(2).start() as gate:
            relayed(rig.driver, gate)  # Nobody knows that node yet: it is not sent.
            rig.plane.known[gate.node_id] = gate.record
            relayed(rig.driver, gate)
            await until(lambda: len(gate.heard) == 1)
            assert gate.heard == [(rig.plane.own.node_id, ForStorage(3, 1, b"a parcel"))]
        rig.driver.stop()

    asyncio.run(scenario())


def test_what_comes_for_a_storage_process_is_passed_on_and_the_cores_hear_nothing() -> None:
    async def scenario() -> None:
        rig = Rig()
        rig.driver.on_peer_message(node_id(2), ForStorage(1, 4, b"a parcel"))
        assert rig.heard == [("from_peer", 1, FromPeer(node_id(2), 4, b"a parcel"))]
        rig.driver.stop()

    asyncio.run(scenario())
