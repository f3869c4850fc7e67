"""A driver whose plane, storage processes and datagram port only write down what they are told."""

from __future__ import annotations

import socket
from collections.abc import Callable, Hashable, Sequence
from types import SimpleNamespace
from typing import Any, cast

from grid.membership.messages import MemberRecord, MembershipMessage
from grid.process import driver as driver_module
from grid.process.datagrams import DatagramPort
from grid.types import Address, NodeId

from .gates import KEYS, list_of, record_at, until

OWN = record_at(1, Address("127.0.0.1", 7701))
LATE_S = 0.25


class KnownMembers(dict[NodeId, MemberRecord]):
    """A member list."""

    def living(self) -> list[MemberRecord]:
        """Return all of them."""
        return list(self.values())


class NotingPlane:
    """A plane that writes down what it hears, and wants what `wants` says, once."""

    def __init__(self) -> None:
        self.own = OWN
        self.heard: list[tuple[Any, ...]] = []
        self.wants: dict[str, Sequence[object]] = {}
        self.known = KnownMembers()
        self.membership = self
        self.members = self.known
        self.follower = SimpleNamespace(table=None)

    def _hear(self, what: str, *details: object) -> Sequence[object]:
        self.heard.append((what, *details))
        return self.wants.pop(what, [])

    def start(self) -> Sequence[object]:
        return self._hear("start")

    def handle_timer(self, timer: Hashable) -> Sequence[object]:
        return self._hear(f"timer {timer}")

    def woke_late(self, lateness_s: float) -> Sequence[object]:
        return self._hear("late", round(lateness_s, 3))

    def handle_datagram(self, sender: NodeId, source: Address, message: object) -> Sequence[object]:
        return self._hear("datagram", sender, message)

    def handle_peer_message(self, sender: NodeId, message: object) -> Sequence[object]:
        return self._hear("peer", sender, message)

    def handle_exchange(self, sender: NodeId, message: object) -> tuple[Sequence[object], object]:
        return self._hear("asked", sender), list_of(1)

    def exchange_ended(self, address: Address, sender: object, reply: object) -> Sequence[object]:
        return self._hear("exchanged", address, sender)

    def stream_ping_ended(self, probe: int, answer: object) -> Sequence[object]:
        return self._hear("pinged", probe)

    def connection_ended(self, sender: NodeId) -> Sequence[object]:
        return self._hear("ended", sender)


class NotingParts:
    """Storage processes and a datagram port that write down what is wanted of them."""

    def __init__(self, heard: list[tuple[Any, ...]]) -> None:
        self._heard = heard

    def __getattr__(self, what: str) -> Callable[..., None]:
        return lambda *details, **named: self._heard.append((what, *details, *named.values()))


class Rig:
    """A driver of such parts. `udp`: read this real socket instead."""

    def __init__(self, udp: socket.socket | None = None) -> None:
        self.plane = NotingPlane()
        self.heard = self.plane.heard

        def make_port(
            receive: Callable[[NodeId, Address, MembershipMessage], None],
        ) -> DatagramPort:
            if udp is None:
                return cast(DatagramPort, NotingParts(self.heard))
            return DatagramPort(udp, None, KEYS, OWN.node_id, receive)

        self.driver = driver_module.Driver(
            cast(Any, self.plane),
            KEYS,
            cast(Any, NotingParts(self.heard)),
            make_port,
            late_s=LATE_S,
            on_table=lambda: self.heard.append(("on_table",)),
            on_member=lambda record: self.heard.append(("on_member", record)),
            on_leave_granted=lambda: self.heard.append(("on_leave_granted",)),
            on_declared_dead=lambda: self.heard.append(("on_declared_dead",)),
            on_work_wanted=lambda thief, wanted: self.heard.append(("work_wanted", thief, wanted)),
        )

    async def heard_of(self, what: str) -> None:
        await until(lambda: any(heard[0] == what for heard in self.heard))

    def perform(self, *effects: object) -> None:
        self.driver.perform(cast(Any, effects))
