"""What the partition core asks of the world, besides timers and log lines."""

from __future__ import annotations

from dataclasses import dataclass

from grid.partition.messages import PartitionMessage
from grid.partition.table import PartitionTable
from grid.types import LogLine, NodeId, PartitionId, SetTimer


@dataclass(frozen=True, slots=True)
class SendToNode:
    """Send `message` to a node over its TCP link; to oneself it is delivered directly."""

    node_id: NodeId
    message: PartitionMessage


@dataclass(frozen=True, slots=True)
class AskHoldings:
    """Ask this node's storage what it holds; answer with `Follower.holdings_known`."""

    token: int


@dataclass(frozen=True, slots=True)
class AskRelease:
    """Have this node's storage let go of partitions; `Follower.released` hears which.

    See `messages.Release` for the two kinds.
    """

    token: int
    partition_ids: tuple[PartitionId, ...]
    handovers: tuple[PartitionId, ...] = ()


@dataclass(frozen=True, slots=True)
class ServeTable:
    """This node's storage serves what `table` gives to it, and nothing else, from now on."""

    table: PartitionTable


@dataclass(frozen=True, slots=True)
class LeaveGranted:
    """This node wanted to leave; it holds nothing any more that others need."""


PartitionEffect = (
    SendToNode | AskHoldings | AskRelease | ServeTable | LeaveGranted | SetTimer | LogLine
)
