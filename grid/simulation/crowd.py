"""Nodes that run the membership core alone: light enough to be a thousand.

Not here: partition tables and stores (``cluster.py``), what is measured (``trial.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from random import Random

from grid.membership.discovery import FoundCluster
from grid.membership.effects import MemberChanged, SelfDeclaredDead
from grid.membership.membership import Membership
from grid.membership.messages import MemberRecord, PushPull
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.simulation.network import NetworkFaults
from grid.simulation.node import SimulatedNode
from grid.simulation.world import World
from grid.types import NodeId

REPORT = bytes(60)
"""As long as a real node's report (``wire/report.py``)."""


class MembershipPlane(Membership):
    """A membership core whose node has no table: it never founds, it only belongs."""

    def handle_timer(  # type: ignore[override]
        self, timer: Hashable
    ) -> list[object]:
        """Handle a timer that one of the parts has set."""
        effects = super().handle_timer(timer, has_table=True, members_with_table=frozenset())
        return [effect for effect in effects if not isinstance(effect, FoundCluster)]


class CrowdNode(SimulatedNode):
    """A node of a `Crowd`."""

    def __init__(
        self,
        world: World,
        number: int,
        own: MemberRecord,
        discovery_options: DiscoveryOptions,
        membership_options: MembershipOptions,
    ) -> None:
        """Build its core."""
        self.plane = MembershipPlane(
            own,
            membership_options,
            discovery_options,
            Random(world.random.getrandbits(64)),
            lambda: world.clock.now_s,
            report=lambda: REPORT,
        )
        super().__init__(world, number, self.plane)

    def living_ids(self) -> list[NodeId]:
        """Return whom this node believes alive, itself included."""
        return [record.node_id for record in self.plane.members.living()]


class Crowd(World):
    """A world of membership cores.

    `on_change` hears each change of each node's view; nothing else is kept, for there are
    very many.
    """

    def __init__(
        self,
        seed: int,
        *,
        faults: NetworkFaults | None = None,
        membership_options: MembershipOptions | None = None,
        discovery_options: DiscoveryOptions | None = None,
        on_change: Callable[[CrowdNode, MemberChanged], None] | None = None,
    ) -> None:
        """Start empty at time zero."""
        super().__init__(
            seed,
            faults=faults,
            membership_options=membership_options,
            discovery_options=discovery_options,
        )
        self._on_change = on_change

    def notice(self, node: SimulatedNode, effect: MemberChanged | SelfDeclaredDead) -> None:
        """Hand a change on; a node that learns of its own death starts anew."""
        if isinstance(effect, SelfDeclaredDead):
            if node.is_running:
                self.restart(node)
        elif self._on_change is not None and isinstance(node, CrowdNode):
            self._on_change(node, effect)

    def log(self, node: SimulatedNode, text: str) -> None:
        """Keep nothing."""

    def make_node(self, number: int, own: MemberRecord) -> CrowdNode:
        """Return a node with its core."""
        return CrowdNode(self, number, own, self.discovery_options, self.membership_options)

    @property
    def crowd(self) -> list[CrowdNode]:
        """Nodes that run now."""
        return [node for node in self.slots if isinstance(node, CrowdNode) and node.is_running]

    def form(self, count: int) -> None:
        """Start `count` nodes that know each other, as after an exchange of lists with all."""
        nodes = [self.add() for _ in range(count)]
        self.clock.run_until(self.clock.now_s)
        everybody = [node.base_plane.own for node in nodes]
        for number, node in enumerate(nodes):
            teller = nodes[number - 1]
            told = PushPull(b"", REPORT, everybody)
            node.perform(node.base_plane.exchange_ended(teller.address, teller.node_id, told))

    def has_one_view(self) -> bool:
        """Whether all running nodes believe in exactly the running nodes."""
        nodes = self.crowd
        truth = sorted(node.node_id for node in nodes)
        return all(node.living_ids() == truth for node in nodes)

    def run_until_one_view(self, limit_s: float, check_every_s: float = 0.25) -> float | None:
        """Run until there is one view; return when, or None if `limit_s` (absolute) came first."""
        clock = self.clock
        while not self.has_one_view():
            if clock.now_s >= limit_s:
                return None
            clock.run_until(min(limit_s, clock.now_s + check_every_s))
        return clock.now_s
