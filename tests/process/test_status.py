"""The status document: how safe the partitions are, and what each member holds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import orjson
import pytest

from grid.executor.queue import WorkerState
from grid.membership.members import MemberList
from grid.membership.messages import MemberRecord, MemberState
from grid.partition.table import PartitionTable
from grid.process.control_plane import ControlPlane
from grid.process.status import (
    copy_counts,
    partition_counts,
    partition_map,
    status_document,
    view_of,
)
from grid.types import Address
from grid.wire.report import NodeReport

from .gates import node_id, record_at
from .test_events import table

FIRST, SECOND, THIRD = node_id(1), node_id(2), node_id(3)


def member(number: int) -> MemberRecord:
    return record_at(number, Address("192.0.2.1", 7700 + number))


def plane(known: PartitionTable | None) -> ControlPlane:
    """Return what the document is made of: two members, and a report of each."""
    members = MemberList(member(1))
    members.merge(member(2))
    return cast(
        ControlPlane,
        SimpleNamespace(
            own=member(1),
            load=NodeReport(
                entries=10,
                at_risk=3,
                unprotected=1,
                memory_percent=12.34,
                operations_per_s=900,
                tasks_retried=2,
                age_s=77,
            ),
            reports={SECOND: NodeReport(entries=20, at_risk=4, unprotected=2, tasks_queued=5)},
            follower=SimpleNamespace(table=known),
            membership=SimpleNamespace(members=members),
        ),
    )


def document(known: PartitionTable | None) -> dict[str, Any]:
    result: dict[str, Any] = orjson.loads(status_document(plane(known), "library"))
    return result


@pytest.mark.parametrize(
    ("known", "counts"),
    [
        (None, (0, 0, 0, 0, 0)),
        (table([FIRST, SECOND]), (256, 0, 0, 0, 1)),
        (table([FIRST, SECOND], vacant=2, unsynced=3), (251, 3, 2, 0, 1)),
        (table([FIRST, SECOND, THIRD], owner=FIRST, incoming=THIRD), (256, 0, 0, 1, 1)),
        (table([FIRST]), (0, 256, 0, 0, 1)),
        (table([FIRST], has_backups=False), (256, 0, 0, 0, 0)),
        (table([FIRST], has_backups=False, vacant=6), (250, 0, 6, 0, 0)),
    ],
)
def test_every_partition_is_safe_unprotected_or_lost(
    known: PartitionTable | None, counts: tuple[int, ...]
) -> None:
    shown = partition_counts(known)
    assert shown.pop("total") == 256
    assert shown == dict(
        zip(("safe", "unprotected", "lost", "moving", "backup_count"), counts, strict=True)
    )


def test_document_has_the_members_with_their_copies_and_what_is_at_risk() -> None:
    shown = document(table([FIRST, SECOND]))
    assert set(shown) == {
        "cluster",
        "node",
        "members",
        "partitions",
        "partition_map",
        "workers",
        "writes_at_risk",
        "unprotected_entries",
    }
    assert (shown["writes_at_risk"], shown["unprotected_entries"]) == (7, 3)
    first, second = shown["members"]
    assert first == {
        "name": member(1).name,
        "id": FIRST.hex(),
        "address": "192.0.2.1:7701",
        "pid": member(1).pid,
        "state": "alive",
        "age_s": 77,
        "state_s": 77,
        "cpu_percent": 0.0,
        "memory_percent": 12.3,
        "operations_per_s": 900,
        "primaries": 128,
        "backups": 128,
        "entries": 10,
        "at_risk": 3,
        "workers": member(1).workers,
        "tasks": {"queued": 0, "running": 0, "done": 0, "retried": 2},
    }
    assert (second["at_risk"], second["tasks"]["queued"]) == (4, 5)


def test_document_has_the_workers_of_the_node_that_answers_and_ages_of_states() -> None:
    busy = WorkerState(2, 1.23456, True, "\x1b[2Jcrunch")
    workers = [(71, WorkerState(1, None, False)), (72, busy)]

    def state_age_s(of: bytes) -> float | None:
        return 4.4 if of == SECOND else None

    known = plane(None)
    shown = orjson.loads(status_document(known, "library", workers, state_age_s))
    assert shown["node"] == FIRST.hex()
    assert shown["workers"] == [
        {"pid": 71, "running_s": None, "is_waiting": False, "function": ""},
        {"pid": 72, "running_s": 1.235, "is_waiting": True, "function": "?[2Jcrunch"},
    ]
    assert [entry["state_s"] for entry in shown["members"]] == [77, 4]


def test_map_says_of_each_partition_who_holds_it_and_how_safe_it_is() -> None:
    assert partition_map(None) is None
    shown = partition_map(table([FIRST, SECOND, THIRD], vacant=1, unsynced=2, incoming=THIRD))
    assert shown is not None
    assert shown["holders"] == [node_id.hex() for node_id in (FIRST, SECOND, THIRD)]
    assert shown["states"] == "luu" + 253 * "s"
    assert shown["primaries"][:4] == (-1, 1, 2, 0)
    assert shown["backups"][:4] == (-1, 2, 0, 1)
    assert shown["incoming"][:4] == (-1, -1, -1, 2)
    alone = partition_map(table([FIRST], has_backups=False, vacant=6))
    assert alone is not None
    assert alone["states"] == 6 * "l" + 250 * "s"


def test_member_that_is_gone_is_shown_and_holds_nothing() -> None:
    known = plane(table([FIRST]))
    dead = msgspec.structs.replace(member(2), state=MemberState.DEAD)
    known.membership.members.merge(dead)
    known.reports.clear()  # As the control plane does.
    shown = orjson.loads(status_document(known, "library"))
    gone = shown["members"][1]
    assert (gone["state"], gone["primaries"], gone["backups"]) == ("dead", 0, 0)
    assert shown["writes_at_risk"] == 3


def test_incomplete_backups_count_as_copies_of_their_node() -> None:
    assert copy_counts(table([FIRST, SECOND], unsynced=256)) == {
        FIRST: (128, 128),
        SECOND: (128, 128),
    }
    assert copy_counts(None) == {}


def test_view_names_the_living_and_how_busy_they_are() -> None:
    view = view_of(plane(None), "library", b"tag", 9)
    assert (view.request, view.cluster, view.table) == (9, "library", None)
    assert [(node.id, node.tasks_queued) for node in view.nodes] == [(FIRST, 0), (SECOND, 5)]
