"""The status document of a node: what ``grid status --json`` prints and the console shows."""

from __future__ import annotations

from typing import Any

import orjson

from grid.membership.messages import MemberRecord, MemberState
from grid.process.control_plane import ControlPlane
from grid.types import PARTITION_COUNT
from grid.wire.control import NodeView, View
from grid.wire.report import NodeReport

GONE_SHOWN_MAX = 20
"""Dead and left members listed, the latest known; older ones are no news."""


def report_of(plane: ControlPlane, record: MemberRecord) -> NodeReport:
    """Return a member's latest report; this node's own is its present load."""
    if record.node_id == plane.own.node_id:
        return plane.load
    return plane.reports.get(record.node_id, NodeReport())


def status_document(plane: ControlPlane, cluster: str) -> bytes:
    """Return the status as JSON bytes."""
    table = plane.follower.table
    members = plane.membership.members
    shown = [*members.living(), *reversed(members.lately_gone(GONE_SHOWN_MAX))]
    lost = 0 if table is None else len(table.lost())
    document = {
        "cluster": cluster,
        "members": [_member(plane, record) for record in shown],
        "partitions": {
            "total": PARTITION_COUNT,
            # Safe means: held twice. There are no backups in this stage.
            "safe": 0,
            "lost": lost,
        },
    }
    return orjson.dumps(document)


def _member(plane: ControlPlane, record: MemberRecord) -> dict[str, Any]:
    report = report_of(plane, record)
    table = plane.follower.table
    primaries = 0 if table is None else len(table.owned_by(record.node_id))
    return {
        "name": record.name,
        "id": record.id.hex(),
        "address": str(record.address),
        "pid": record.pid,
        "state": MemberState(record.state).name.lower(),
        "cpu_percent": round(report.cpu_percent, 1),
        "primaries": primaries,
        "backups": 0,
        "entries": report.entries,
        "tasks": {
            "queued": report.tasks_queued,
            "running": report.tasks_running,
            "done": report.tasks_done,
        },
    }


def view_of(plane: ControlPlane, cluster: str, request: int) -> View:
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
            )
        )
    return View(request, cluster, plane.own.id, nodes, plane.follower.table)
