"""What a node notes of members, tables and promotions, and what it keeps of that."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from grid.membership.messages import MemberRecord, MemberState
from grid.partition.table import PartitionTable, make_table
from grid.process import events as events_module
from grid.process.events import EventLog, changes_between
from grid.types import PARTITION_COUNT, Address, NodeId, TableStamp
from grid.wire.control import Event

from .gates import node_id, record_at

FIRST, SECOND, THIRD = node_id(1), node_id(2), node_id(3)


def fresh_log() -> EventLog:
    """Return a log whose clock ticks once for each event."""
    return EventLog(itertools.count(1_000.0).__next__, "desk-1")


def member(number: int, state: MemberState = MemberState.ALIVE) -> MemberRecord:
    record = record_at(number, Address("192.0.2.1", 7700 + number))
    return msgspec.structs.replace(record, name=f"desk-{number}", state=state)


def table(
    nodes: list[NodeId],
    *,
    version: int = 1,
    vacant: int = 0,
    unsynced: int = 0,
    incoming: NodeId | None = None,
    has_backups: bool = True,
    owner: NodeId | None = None,
) -> PartitionTable:
    """Return an even table of `nodes`, or one in which `owner` has every primary.

    The first `vacant` partitions are lost, the next `unsynced` ones have no complete backup, and
    the one after those is being filled at `incoming`.
    """
    ids = range(PARTITION_COUNT)
    owners: list[NodeId | None] = [owner or nodes[p % len(nodes)] for p in ids]
    backups: list[NodeId | None] = [
        next((n for n in (nodes[(p + 1) % len(nodes)], *nodes) if n != owners[p]), None)
        for p in ids
    ]
    for p in range(vacant):
        owners[p] = backups[p] = None
    synced = [backup is not None and p >= vacant + unsynced for p, backup in enumerate(backups)]
    filled: list[NodeId | None] = [None] * PARTITION_COUNT
    if incoming is not None:
        filled[vacant + unsynced] = incoming
    return make_table(
        TableStamp(1, FIRST, version),
        nodes,
        owners,
        [version] * PARTITION_COUNT,
        backups if has_backups else None,
        synced if has_backups else None,
        filled,
    )


def kinds(old: PartitionTable | None, new: PartitionTable) -> list[str]:
    return [change.kind for change in changes_between(old, new)]


# -- the log ----------------------------------------------------------------------------------


def test_events_are_numbered_and_dated_and_name_their_node() -> None:
    log = fresh_log()
    log.add("lost", "one", partitions=1)
    log.add("lost", "two", partitions=2)
    first, second = log.since(0)
    assert (first.number, first.time_s, first.node) == (1, 1_000.0, "desk-1")
    assert (second.number, second.time_s) == (2, 1_001.0)
    assert (second.kind, second.text, second.fields) == ("lost", "two", {"partitions": 2})


def test_only_what_is_newer_than_asked_is_given() -> None:
    log = fresh_log()
    for number in range(1, 6):
        log.add("lost", str(number))
    assert [event.text for event in log.since(3)] == ["4", "5"]
    assert log.since(5) == log.since(99) == []


def test_oldest_events_are_forgotten_and_numbers_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "EVENTS_MAX", 3)
    log = fresh_log()
    for number in range(1, 6):
        log.add("lost", str(number))
    assert [event.number for event in log.since(0)] == [3, 4, 5]


def test_forgotten_events_stay_counted_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "EVENTS_MAX", 2)
    log = fresh_log()
    for kind in ("joined", "dead", "joined", "joined"):
        log.add(kind, "")
    assert +log.counts == {"joined": 3, "dead": 1}
    assert log.counts.keys() == set(events_module.KINDS)  # To count from nothing is news.


# -- members ----------------------------------------------------------------------------------


def test_members_come_and_go() -> None:
    log = fresh_log()
    log.member_changed(member(2))
    log.member_changed(member(3))
    log.member_changed(member(2, MemberState.DEAD))
    log.member_changed(member(3, MemberState.LEFT))
    assert [(event.kind, event.fields["member"]) for event in log.since(0)] == [
        ("joined", "desk-2"),
        ("joined", "desk-3"),
        ("dead", "desk-2"),
        ("left", "desk-3"),
    ]
    dead = log.since(2)[0]
    assert dead.fields["id"] == SECOND.hex()
    assert dead.text == f"desk-2 ({SECOND.hex()[:8]}, 192.0.2.1:7702) is dead"


def test_suspicion_and_its_refutation_are_told_once_each() -> None:
    log = fresh_log()
    log.member_changed(member(2))
    for _ in range(2):
        log.member_changed(member(2, MemberState.SUSPECT))
    log.member_changed(member(2))
    assert [event.kind for event in log.since(0)] == ["joined", "suspect", "alive"]


def test_member_that_is_a_suspect_when_it_is_first_heard_of_has_joined_as_well() -> None:
    log = fresh_log()
    log.member_changed(member(2, MemberState.SUSPECT))
    assert [event.kind for event in log.since(0)] == ["joined", "suspect"]


def test_age_of_a_state_counts_from_its_last_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "TIMES_MAX", 2)
    log = fresh_log()  # Each look at its clock is a second.
    log.member_changed(member(2))
    log.member_changed(member(3))
    assert log.state_age_s(SECOND) == 2.0
    log.member_changed(member(2, MemberState.DEAD))
    assert log.state_age_s(SECOND) == 1.0
    assert log.state_age_s(FIRST) is None
    log.member_changed(member(1))
    assert log.state_age_s(THIRD) is None  # The bound: the longest unchanged is forgotten.


@pytest.mark.parametrize(
    ("tasks", "text"),
    [
        (1, "1 task runs again here: a worker or node died under it"),
        (3, "3 tasks run again here: a worker or node died under them"),
    ],
)
def test_tasks_that_run_again_are_an_event_and_a_line(
    tasks: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    log = fresh_log()
    log.retried(tasks)
    (event,) = log.since(0)
    assert (event.kind, event.text, event.fields) == ("retried", text, {"tasks": tasks})
    assert caplog.messages == [f"tasks run again tasks={tasks}"]


# -- promotions -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("partitions", "lost", "text"),
    [
        (64, 12, "took over 64 partitions of desk-2; at most 12 writes lost"),
        (1, 1, "took over 1 partition of desk-2; at most 1 write lost"),
        (2, 0, "took over 2 partitions of desk-2; no write lost"),
    ],
)
def test_promotion_says_what_it_may_have_cost(
    partitions: int, lost: int, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    log = fresh_log()
    log.promotion("desk-2", partitions, lost)
    (event,) = log.since(0)
    assert (event.kind, event.text) == ("promoted", text)
    assert event.fields == {"source": "desk-2", "partitions": partitions, "lost_at_most": lost}
    assert [record.levelname for record in caplog.records] == ["WARNING" if lost else "INFO"]
    (line,) = caplog.messages
    assert line == f"took over source=desk-2 partitions={partitions} lost_at_most={lost}"


# -- tables -----------------------------------------------------------------------------------


def test_first_table_is_no_news() -> None:
    assert kinds(None, table([FIRST])) == []
    assert kinds(None, table([FIRST, SECOND])) == []


def test_same_table_is_no_news() -> None:
    for same in (table([FIRST, SECOND]), table([FIRST, SECOND], vacant=3)):
        assert kinds(same, same) == []


def test_lost_partitions_are_counted_once() -> None:
    whole, holed = table([FIRST, SECOND], vacant=4), table([FIRST, SECOND], vacant=10)
    assert changes_between(whole, holed)[0] == (
        "lost",
        "6 partitions lost: no living node has a copy",
        {"partitions": 6},
    )
    assert kinds(None, holed) == ["lost"]


def test_lost_partitions_that_are_served_again_are_accepted() -> None:
    (accepted,) = changes_between(
        table([FIRST, SECOND], vacant=2), table([FIRST, SECOND], vacant=1, unsynced=1)
    )
    assert accepted == ("accepted", "1 lost partition served again", {"partitions": 1})


def test_last_backup_that_is_complete_makes_all_protected() -> None:
    nodes = [FIRST, SECOND]
    assert kinds(table(nodes, unsynced=9), table(nodes, unsynced=1)) == []
    changes = changes_between(table(nodes, unsynced=1), table(nodes))
    assert changes[0] == ("protected", "all 256 partitions have a backup", {"partitions": 256})


def test_what_is_lost_cannot_be_protected() -> None:
    nodes = [FIRST, SECOND]
    (change,) = changes_between(table(nodes, unsynced=3), table(nodes, vacant=3))[1:]
    assert change == ("protected", "what is not lost has a backup", {"partitions": 253})


def test_without_backups_nothing_is_ever_protected() -> None:
    nodes = [FIRST, SECOND]
    old = table(nodes, has_backups=False, owner=FIRST)
    assert kinds(old, table(nodes, has_backups=False)) == ["balanced"]


def test_cluster_is_balanced_when_shares_are_even_and_nothing_is_filled() -> None:
    two, three = [FIRST, SECOND], [FIRST, SECOND, THIRD]
    even = table(three)
    assert kinds(table(two), even) == ["balanced"]
    assert kinds(table(three, incoming=THIRD), even) == ["balanced"]
    assert changes_between(table(three, owner=FIRST), even) == [
        ("balanced", "3 nodes share the partitions evenly", {"nodes": 3})
    ]


@pytest.mark.parametrize(
    "restless",
    [
        table([FIRST, SECOND], owner=FIRST),
        table([FIRST, SECOND], unsynced=1),
        table([FIRST, SECOND], vacant=1),
        table([FIRST, SECOND, THIRD], incoming=THIRD),
        table([FIRST]),
    ],
)
def test_what_is_uneven_unfinished_or_alone_is_not_balanced(restless: PartitionTable) -> None:
    assert "balanced" not in kinds(table([FIRST]), restless)


def test_only_the_author_of_a_table_notes_what_it_means_and_every_node_tells_it() -> None:
    old, new = table([FIRST, SECOND], unsynced=1), table([FIRST, SECOND])
    told: list[Event] = []
    follower = EventLog(lambda: 5.0, "desk-2", told.append)
    follower.table_changed(old, new, False)
    assert follower.since(0) == []
    assert not any(follower.counts.values())
    texts = ["all 256 partitions have a backup", "2 nodes share the partitions evenly"]
    assert [(event.number, event.node, event.text) for event in told] == [
        (0, "desk-2", text) for text in texts
    ]
    told.clear()
    coordinator = EventLog(lambda: 5.0, "desk-1", told.append)
    coordinator.table_changed(old, new, True)
    assert [event.text for event in coordinator.since(0)] == texts
    assert told == coordinator.since(0)
