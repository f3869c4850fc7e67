"""A plane without any protocol: it writes down what its simulated node tells it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from grid.membership.effects import StreamAnswer
from grid.membership.messages import MemberRecord, MembershipMessage, PushPull
from grid.simulation.node import SimulatedNode
from grid.simulation.world import World
from grid.types import Address, NodeId

LISTS = PushPull(b"", b"", [])


@dataclass
class NotingPlane:
    """A plane that writes down what it hears, and wants what `wants` says."""

    own: MemberRecord
    world: World
    heard: list[tuple[Any, ...]] = field(default_factory=list)
    wants: dict[str, list[object]] = field(default_factory=dict)

    def _hear(self, what: str, *details: object) -> list[object]:
        self.heard.append((round(self.world.clock.now_s, 3), what, *details))
        return self.wants.pop(what, [])

    def start(self) -> list[object]:
        return self._hear("start")

    def handle_datagram(
        self, sender_id: NodeId, source: Address, message: MembershipMessage
    ) -> list[object]:
        return self._hear("datagram", message)

    def handle_exchange(
        self, sender_id: NodeId, message: PushPull
    ) -> tuple[list[object], PushPull]:
        return self._hear("asked"), LISTS

    def exchange_ended(
        self, address: Address, sender_id: NodeId | None, reply: PushPull | None
    ) -> list[object]:
        return self._hear("exchanged", sender_id)

    def stream_ping_ended(self, probe: int, answer: StreamAnswer) -> list[object]:
        return self._hear("pinged", probe, answer)

    def connection_ended(self, node_id: NodeId) -> list[object]:
        return self._hear("ended", node_id)

    def woke_late(self, lateness_s: float) -> list[object]:
        return self._hear("late", round(lateness_s, 3))

    def handle_timer(self, timer: Hashable) -> list[object]:
        return self._hear(f"timer {timer}")


class NotingWorld(World):
    """A world of such nodes."""

    def make_node(self, number: int, own: MemberRecord) -> SimulatedNode:
        return SimulatedNode(self, number, NotingPlane(own, self))

    def started(self) -> SimulatedNode:
        node = self.add()
        self.run_for(0.0)
        plane_of(node).heard.clear()
        return node

    def run_for(self, duration_s: float) -> None:
        self.clock.run_until(self.clock.now_s + duration_s)


def plane_of(node: SimulatedNode) -> NotingPlane:
    assert isinstance(node.base_plane, NotingPlane)
    return node.base_plane
