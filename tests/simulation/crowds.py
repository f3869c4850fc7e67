"""Crowds that write down what their nodes believe, and what must never happen to them."""

from __future__ import annotations

from grid.membership.effects import MemberChanged
from grid.membership.messages import MemberState
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.simulation.crowd import Crowd, CrowdNode
from grid.simulation.network import NetworkFaults
from grid.types import NodeId

SETTLED_S = 5.0


class WatchedCrowd(Crowd):
    """Remembers every change of every view."""

    def __init__(
        self,
        seed: int,
        faults: NetworkFaults | None = None,
        *,
        membership: MembershipOptions | None = None,
        discovery: DiscoveryOptions | None = None,
    ) -> None:
        super().__init__(
            seed,
            faults=faults,
            membership_options=membership,
            discovery_options=discovery,
            on_change=self._note,
        )
        self.changes: list[tuple[float, NodeId, NodeId, MemberState]] = []
        """When, who changed its mind, of whom, to what."""

    def _note(self, node: CrowdNode, change: MemberChanged) -> None:
        record = change.record
        self.changes.append((self.clock.now_s, node.node_id, record.node_id, record.state))

    def run_for(self, duration_s: float) -> None:
        self.clock.run_until(self.clock.now_s + duration_s)

    def told(self, state: MemberState, since_s: float = 0.0) -> list[tuple[float, NodeId, NodeId]]:
        """Return who came to hold whom for `state`, and when."""
        return [
            (at_s, hearer, subject)
            for at_s, hearer, subject, found in self.changes
            if found is state and at_s >= since_s
        ]

    def buried(self, since_s: float = 0.0) -> set[NodeId]:
        """Return whom anybody holds for dead."""
        return {subject for _, _, subject in self.told(MemberState.DEAD, since_s)}

    def ids(self) -> set[NodeId]:
        return {node.node_id for node in self.crowd}


def settled(
    seed: int,
    count: int,
    faults: NetworkFaults | None = None,
    *,
    discovery: DiscoveryOptions | None = None,
) -> WatchedCrowd:
    """Return a crowd whose nodes know each other."""
    crowd = WatchedCrowd(seed, faults, discovery=discovery)
    crowd.form(count)
    crowd.run_for(SETTLED_S)
    assert crowd.has_one_view()
    return crowd
