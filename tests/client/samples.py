"""Views of a small cluster, as its network processes answer them."""

from __future__ import annotations

from grid.partition.table import make_table
from grid.types import PARTITION_COUNT, NodeId, TableStamp
from grid.wire.control import NodeView, View

FIRST, SECOND = NodeId(b"1" * 16), NodeId(b"2" * 16)
STAMP = TableStamp(3, FIRST, 9)


def node_view(node_id: NodeId, storage_processes: int) -> NodeView:
    """Return a node called after the first letter of its id."""
    letter = chr(node_id[0])
    return NodeView(
        node_id, f"library-{letter}", f"127.0.0.{letter}", 7701, storage_processes, 2, 0, 0
    )


def view_of(owners: list[NodeId | None], nodes: list[NodeView], cluster: str = "grid") -> View:
    """Return a view in which partition ``i`` belongs to ``owners[i % len(owners)]``."""
    everyone = [owners[partition % len(owners)] for partition in range(PARTITION_COUNT)]
    epochs = [partition + 100 for partition in range(PARTITION_COUNT)]
    table = make_table(STAMP, [FIRST, SECOND], everyone, epochs)
    return View(1, cluster, b"", FIRST, nodes, table)
