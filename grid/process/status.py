"""The status document of a node: what ``grid status --json`` prints and the console shows.

Of a partition it says: *safe*, it has an owner and a complete backup (or shall have none);
*unprotected*, the owner is the only one with everything; *lost*, nobody has it; and whether it is
*moving*, that is, a further node is being filled with it. The first three add up to all, once
there is a table. ``partition_map`` says the same of each one, as indices into its ``holders`` (-1:
nobody), and the states as one letter each.

Of a member: ``age_s``, how long ago it started, by its own word, and ``state_s``, how long ago the
node that answers noticed its present state. ``workers`` are those of the node that answers, with
what the submitter calls the function that each runs; of others their number is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from grid.executor.names import cleaned
from grid.executor.queue import WorkerState
from grid.membership.messages import MemberRecord, MemberState
from grid.partition.table import VACANT, PartitionTable
from grid.process.control_plane import ControlPlane
from grid.types import PARTITION_COUNT
from grid.wire.control import NodeView, View
from grid.wire.report import NodeReport

GONE_SHOWN_MAX = 20
"""Dead and left members listed, the latest known; older ones are no news."""

SAFE, UNPROTECTED, LOST = "s", "u", "l"
"""The states in the map of the partitions."""


def report_of(plane: ControlPlane, record: MemberRecord) -> NodeReport:
    """Return a member's latest report; this node's own is its present load."""
    if record.node_id == plane.own.node_id:
        return plane.load
    return plane.reports.get(record.node_id, NodeReport())


def status_document(
    plane: ControlPlane,
    cluster: str,
    workers: Sequence[tuple[int, WorkerState]] = (),
    state_age_s: Callable[[bytes], float | None] = lambda node_id: None,
) -> bytes:
    """Return the status as JSON bytes.

    Args:
        plane: of the node that answers.
        cluster: its name.
        workers: pid and state of each worker of this node.
        state_age_s: returns how long ago this node noticed a member's present state.
    """
    table = plane.follower.table
    members = plane.membership.members
    living = members.living()
    shown = [*living, *reversed(members.lately_gone(GONE_SHOWN_MAX))]
    reports = [report_of(plane, record) for record in living]
    copies = copy_counts(table)
    document = {
        "cluster": cluster,
        "node": plane.own.id.hex(),
        "members": [
            _member(
                record,
                report_of(plane, record),
                copies.get(record.id, (0, 0)),
                state_age_s(record.id),
            )
            for record in shown
        ],
        "partitions": partition_counts(table),
        "partition_map": partition_map(table),
        "workers": [
            {
                "pid": pid,
                "running_s": None if state.running_s is None else round(state.running_s, 3),
                "is_waiting": state.is_waiting,
                "function": cleaned(state.function),
            }
            for pid, state in workers
        ],
        "writes_at_risk": sum(report.at_risk for report in reports),
        "unprotected_entries": sum(report.unprotected for report in reports),
    }
    return orjson.dumps(document)


def partition_counts(table: PartitionTable | None) -> dict[str, int]:
    """Return how many partitions are in which state; none before there is a table."""
    counts = {"total": PARTITION_COUNT, "safe": 0, "unprotected": 0, "lost": 0, "moving": 0}
    if table is None:
        return counts | {"backup_count": 0}
    lost, unprotected = len(table.lost()), len(table.unprotected())
    return counts | {
        "safe": PARTITION_COUNT - lost - unprotected,
        "unprotected": unprotected,
        "lost": lost,
        "moving": len(table.moving()),
        "backup_count": table.backup_count,
    }


def partition_map(table: PartitionTable | None) -> dict[str, Any] | None:
    """Return holders and state of each partition; None before there is a table."""
    if table is None:
        return None
    whole = SAFE if not table.backup_count else ""
    return {
        "holders": [node_id.hex() for node_id in table.order],
        "primaries": table.primaries,
        "backups": table.backups,
        "incoming": table.incoming,
        "states": "".join(
            LOST if primary == VACANT else whole or (SAFE if synced else UNPROTECTED)
            for primary, synced in zip(table.primaries, table.synced, strict=True)
        ),
    }


def copy_counts(table: PartitionTable | None) -> dict[bytes, tuple[int, int]]:
    """Return for each node in the table its primaries and its backups, complete or not."""
    if table is None:
        return {}
    primaries, backups = Counter(table.primaries), Counter(table.backups)
    return {
        node_id: (primaries[index], backups[index]) for index, node_id in enumerate(table.order)
    }


def _member(
    record: MemberRecord, report: NodeReport, copies: tuple[int, int], state_s: float | None
) -> dict[str, Any]:
    primaries, backups = copies
    return {
        "name": record.name,
        "id": record.id.hex(),
        "address": str(record.address),
        "pid": record.pid,
        "state": MemberState(record.state).name.lower(),
        "age_s": report.age_s,
        "state_s": report.age_s if state_s is None else round(state_s),
        "cpu_percent": round(report.cpu_percent, 1),
        "memory_percent": round(report.memory_percent, 1),
        "operations_per_s": report.operations_per_s,
        "primaries": primaries,
        "backups": backups,
        "entries": report.entries,
        "at_risk": report.at_risk,
        "workers": record.workers,
        "tasks": {
            "queued": report.tasks_queued,
            "running": report.tasks_running,
            "done": report.tasks_done,
            "retried": report.tasks_retried,
        },
    }


def view_of(plane: ControlPlane, cluster: str, key_tag: bytes, request: int) -> View:
    """Return the cluster as clients need it."""
    nodes = []
    for record in plane.membership.members.living():
        report = report_of(plane, record)
        nodes.append(
            NodeView(
                record.id,
                record.name,
                record.host,
                record.port,
                record.storage_processes,
                record.workers,
                report.tasks_queued,
                report.tasks_running,
                _free_share(report, record.workers),
            )
        )
    return View(request, cluster, key_tag, plane.own.id, nodes, plane.follower.table)


def _free_share(report: NodeReport, workers: int) -> float:
    if report.free_cores < 0:
        return 1.0
    return min(1.0, report.free_cores / max(workers, 1))
