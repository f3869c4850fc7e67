"""A node's obedience: which coordinator it follows, which table it serves.

Every node has one, the coordinator's node included. It answers `Collect` and `Release` with
the truth of its own storage, and adopts a published table when it supersedes the present one.

Not here: choosing owners (``coordinator.py``), the storage itself.

Rules that keep data safe. A table is adopted only when this node is in its order, and a
coordinator publishes only after every primary that loses a partition has let go of it. Who has
answered `Collect` has promised itself to the table with that stamp: an older one, come late,
would have it serve again what it lets go of in this round. And what was to be let go of in an
earlier round, or before the table of this one, is no matter any more: nobody would give it back.
"""

from __future__ import annotations

from grid.partition.effects import (
    AskHoldings,
    AskRelease,
    LeaveGranted,
    PartitionEffect,
    SendToNode,
    ServeTable,
)
from grid.partition.messages import (
    Collect,
    CollectRefused,
    Holding,
    Holdings,
    LeaveAllowed,
    Publish,
    Release,
    Released,
    TableWanted,
)
from grid.partition.table import PartitionTable
from grid.types import NO_TABLE, NodeId, PartitionId, TableStamp

PENDING_MAX = 64
"""Questions to the own storage that may be open; the oldest is forgotten (its asker retries)."""


class Follower:
    """Holder of the table this node serves."""

    def __init__(self, own_id: NodeId) -> None:
        """Start without a table."""
        self.own_id = own_id
        self.table: PartitionTable | None = None
        self._promised = NO_TABLE
        self._round = 0
        self._token = 0
        self._pending: dict[int, tuple[NodeId, int]] = {}

    @property
    def stamp(self) -> TableStamp:
        """Stamp of the table served, or `NO_TABLE`."""
        return NO_TABLE if self.table is None else self.table.stamp

    def handle_message(
        self, sender: NodeId, message: Collect | Release | Publish | TableWanted | LeaveAllowed
    ) -> list[PartitionEffect]:
        """Handle what a coordinator (or a node behind) asks of this node."""
        match message:
            case Collect(round=round_number, stamp=stamp):
                if self._obeys(stamp):
                    self._promised = stamp
                    self._round = round_number
                    return [AskHoldings(self._remember(sender, round_number))]
                return [SendToNode(sender, CollectRefused(round_number, self._highest()))]
            case Release(round=round_number, partition_ids=empty, handovers=handovers):
                is_current = self._round == round_number and self._promised != self.stamp
                if self._promised.coordinator != sender or not is_current:
                    return []
                token = self._remember(sender, round_number)
                given = tuple(PartitionId(p) for p in empty)
                return [AskRelease(token, given, tuple(PartitionId(p) for p in handovers))]
            case Publish(table=table):
                return self.adopt(table)
            case LeaveAllowed():
                return [LeaveGranted()]
            case TableWanted(stamp=stamp):
                if self.table is not None and self.table.stamp.supersedes(stamp):
                    return [SendToNode(sender, Publish(self.table))]
                return []

    def holdings_known(self, token: int, held: list[Holding]) -> list[PartitionEffect]:
        """Pass the storage's answer on to the coordinator that asked."""
        asker = self._pending.pop(token, None)
        if asker is None:
            return []
        return [SendToNode(asker[0], Holdings(asker[1], self.stamp, held))]

    def released(self, token: int, partition_ids: list[int]) -> list[PartitionEffect]:
        """Pass on which partitions the storage has given up."""
        asker = self._pending.pop(token, None)
        if asker is None:
            return []
        return [SendToNode(asker[0], Released(asker[1], partition_ids))]

    def adopt(self, table: PartitionTable) -> list[PartitionEffect]:
        """Serve `table` if it supersedes the present one and this node is part of it."""
        if self.own_id not in table.order or not table.stamp.supersedes(self.stamp):
            return []
        if self._promised.supersedes(table.stamp):
            # The coordinator of this node may still learn of its predecessor's last table.
            if self._promised.coordinator != self.own_id:
                return []
        else:
            self._promised = table.stamp
        self.table = table
        return [ServeTable(table)]

    def _obeys(self, stamp: TableStamp) -> bool:
        highest = self._highest()
        return stamp.same_lineage(highest) or stamp.supersedes(highest)

    def _highest(self) -> TableStamp:
        return self._promised if self._promised.supersedes(self.stamp) else self.stamp

    def _remember(self, sender: NodeId, round_number: int) -> int:
        self._token += 1
        self._pending[self._token] = (sender, round_number)
        while len(self._pending) > PENDING_MAX:
            del self._pending[next(iter(self._pending))]
        return self._token
