"""The cores of one node wired together."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from grid.membership.discovery import FOUNDING_TIMER
from grid.membership.effects import MemberChanged, Multicast, SendDatagram
from grid.membership.messages import Ack, Beacon, Gossip, MemberRecord, MemberState, Ping, PushPull
from grid.membership.options import DiscoveryOptions, MembershipOptions
from grid.membership.swim import PERIOD_TIMER
from grid.partition.coordinator import CHECK_TIMER
from grid.partition.effects import AskHoldings, AskRelease, SendToNode, ServeTable
from grid.partition.messages import (
    AcceptLoss,
    Collect,
    Holding,
    Holdings,
    Leaving,
    Publish,
    Release,
    Released,
    TableWanted,
)
from grid.partition.table import PartitionTable, make_table
from grid.process.control_plane import (
    TABLE_WANTED_GAP_S,
    TABLE_WANTED_TIMER,
    ControlPlane,
    NodeEffect,
)
from grid.types import (
    NO_TABLE,
    NODE_ID_BYTES,
    PARTITION_COUNT,
    Address,
    NodeId,
    SetTimer,
    TableStamp,
)
from grid.wire.report import NodeReport, decode_report, encode_report

E = TypeVar("E")


def node(number: int) -> NodeId:
    return NodeId(number.to_bytes(NODE_ID_BYTES, "big"))


def record(number: int, state: MemberState = MemberState.ALIVE) -> MemberRecord:
    return MemberRecord(node(number), f"n{number}", (f"10.0.0.{number}",), 7701, 1, 1, 1, 0, state)


def plane(number: int = 1) -> ControlPlane:
    options = MembershipOptions()
    return ControlPlane(record(number), options, DiscoveryOptions(), Random(1), lambda: 0.0)


def table(*order: int, version: int = 1, term: int = 1) -> PartitionTable:
    """Return a table where the first of the order owns everything."""
    stamp = TableStamp(term, node(order[0]), version)
    owners: list[NodeId | None] = [node(order[0])] * PARTITION_COUNT
    return make_table(stamp, list(map(node, order)), owners, [1] * PARTITION_COUNT, backup_count=1)


def hear(
    tested: ControlPlane,
    sender: int,
    *updates: MemberRecord,
    stamp: TableStamp = NO_TABLE,
    report: bytes | None = None,
) -> list[NodeEffect]:
    """Let `sender` introduce itself, then tell of others."""
    data = encode_report(NodeReport(stamp=stamp, entries=sender)) if report is None else report
    effects, _ = tested.handle_exchange(node(sender), PushPull(b"", data, [record(sender)]))
    gossip = Gossip(data, list(updates))
    source = Address(f"10.0.0.{sender}", 7701)
    return [*effects, *tested.handle_datagram(node(sender), source, gossip)]


def of_kind(kind: type[E], effects: Sequence[object]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]


def test_start_announces_the_node_and_sets_every_timer() -> None:
    effects = plane().start()
    (beacon,) = of_kind(Multicast, effects)
    assert isinstance(beacon.message, Beacon)
    timers = {effect.timer for effect in of_kind(SetTimer, effects)}
    assert timers >= {PERIOD_TIMER, FOUNDING_TIMER}


def test_silence_founds_a_cluster_that_is_served_at_once() -> None:
    tested = plane()
    tested.start()
    effects = tested.handle_timer(FOUNDING_TIMER)
    assert of_kind(ServeTable, effects) == [ServeTable(table(1))]
    assert tested.follower.stamp == TableStamp(1, node(1), 1)
    assert CHECK_TIMER in {effect.timer for effect in of_kind(SetTimer, effects)}


def test_node_does_not_found_beside_a_living_member_that_reports_a_table() -> None:
    tested = plane()
    tested.start()
    hear(tested, 2, stamp=table(2).stamp)
    assert of_kind(ServeTable, tested.handle_timer(FOUNDING_TIMER)) == []
    hear(tested, 3, record(2, MemberState.DEAD))
    assert len(of_kind(ServeTable, tested.handle_timer(FOUNDING_TIMER))) == 1


def test_new_member_is_announced_and_gets_a_round() -> None:
    tested = plane()
    tested.handle_timer(FOUNDING_TIMER)
    effects = hear(tested, 2)
    assert of_kind(MemberChanged, effects) == [MemberChanged(record(2))]
    assert CHECK_TIMER in {effect.timer for effect in of_kind(SetTimer, effects)}
    questions = of_kind(SendToNode, tested.handle_timer(CHECK_TIMER))
    assert [question.node_id for question in questions] == [node(1), node(2)]
    assert all(isinstance(question.message, Collect) for question in questions)


def test_newcomer_is_admitted_through_both_phases() -> None:
    tested = plane()
    tested.handle_timer(FOUNDING_TIMER)
    hear(tested, 2)
    own_question = of_kind(SendToNode, tested.handle_timer(CHECK_TIMER))[0].message
    assert isinstance(own_question, Collect)
    (ask,) = of_kind(AskHoldings, tested.handle_peer_message(node(1), own_question))
    held = [Holding(p, 1, 0) for p in range(PARTITION_COUNT)]
    (own_answer,) = of_kind(SendToNode, tested.holdings_known(ask.token, held))
    assert isinstance(own_answer.message, Holdings)
    tested.handle_peer_message(node(1), own_answer.message)
    second_answer = Holdings(own_question.round, NO_TABLE, [])
    (request,) = of_kind(SendToNode, tested.handle_peer_message(node(2), second_answer))
    assert isinstance(request.message, Release)
    (release,) = of_kind(AskRelease, tested.handle_peer_message(node(1), request.message))
    (done,) = of_kind(SendToNode, tested.released(release.token, list(release.partition_ids)))
    assert isinstance(done.message, Released)
    effects = tested.handle_peer_message(node(1), done.message)
    (news,) = of_kind(SendToNode, effects)
    assert news.node_id == node(2)
    assert isinstance(news.message, Publish)
    assert len(news.message.table.owned_by(node(2))) == PARTITION_COUNT // 2


def test_newer_table_in_a_report_is_asked_for_but_not_too_often() -> None:
    tested = plane()
    tested.handle_peer_message(node(2), Publish(table(2, 1)))
    newer = table(2, 1, version=5).stamp
    effects = hear(tested, 2, stamp=newer)
    assert of_kind(SendToNode, effects) == [SendToNode(node(2), TableWanted(table(2, 1).stamp))]
    assert SetTimer(TABLE_WANTED_TIMER, TABLE_WANTED_GAP_S) in effects
    assert of_kind(SendToNode, hear(tested, 2, stamp=newer)) == []
    assert tested.handle_timer(TABLE_WANTED_TIMER) == []
    assert len(of_kind(SendToNode, hear(tested, 2, stamp=newer))) == 1


def test_older_table_in_a_report_is_not_asked_for() -> None:
    tested = plane()
    tested.handle_peer_message(node(2), Publish(table(2, 1, version=5)))
    for stamp in (table(2, 1, version=5).stamp, table(2, 1, version=4).stamp, NO_TABLE):
        assert of_kind(SendToNode, hear(tested, 2, stamp=stamp)) == []


def test_reports_of_members_are_kept_until_they_are_gone() -> None:
    tested = plane()
    hear(tested, 2)
    assert tested.reports[node(2)].entries == 2
    hear(tested, 3, record(2, MemberState.LEFT))
    assert set(tested.reports) == {node(3)}


def test_report_of_another_version_changes_nothing() -> None:
    tested = plane()
    hear(tested, 2)
    hear(tested, 2, report=b"\xc1 no report")
    assert tested.reports[node(2)].entries == 2


def test_own_report_carries_load_and_stamp() -> None:
    tested = plane()
    tested.handle_timer(FOUNDING_TIMER)
    tested.load = NodeReport(tasks_queued=7)
    hear(tested, 2)
    (ping,) = of_kind(SendDatagram, tested.handle_timer(PERIOD_TIMER))
    assert isinstance(ping.message, Ping)
    report = decode_report(ping.message.report)
    assert report == NodeReport(stamp=table(1).stamp, tasks_queued=7)


def test_leaver_tells_the_coordinator_what_goes_and_everybody_that_it_goes() -> None:
    tested = plane(3)
    hear(tested, 1, record(2))
    tested.handle_peer_message(node(1), Publish(table(1, 2, 3)))
    held = [Holding(4, 1, 9)]
    effects = tested.leave(held)
    assert of_kind(SendToNode, effects) == [SendToNode(node(1), Leaving(held))]
    assert len(of_kind(SendDatagram, effects)) == 2
    assert tested.own.state is MemberState.LEFT


def test_leaving_coordinator_tells_its_successor() -> None:
    tested = plane(1)
    hear(tested, 3, record(2))
    tested.handle_peer_message(node(1), Publish(table(1, 2, 3)))
    assert of_kind(SendToNode, tested.leave([])) == [SendToNode(node(2), Leaving([]))]


def test_last_node_leaves_without_a_word() -> None:
    tested = plane()
    tested.handle_timer(FOUNDING_TIMER)
    assert tested.leave([]) == []


def test_accepted_loss_goes_to_the_oldest_living_member() -> None:
    tested = plane(3)
    assert tested.accept_loss() == []
    hear(tested, 1, record(2))
    tested.handle_peer_message(node(1), Publish(table(1, 2, 3)))
    assert tested.accept_loss() == [SendToNode(node(1), AcceptLoss())]
    hear(tested, 2, record(1, MemberState.DEAD))
    assert tested.accept_loss() == [SendToNode(node(2), AcceptLoss())]


def test_acknowledged_probe_timer_is_routed_to_membership() -> None:
    tested = plane()
    hear(tested, 2)
    effects = tested.handle_timer(PERIOD_TIMER)
    timer = next(e.timer for e in of_kind(SetTimer, effects) if isinstance(e.timer, tuple))
    tested.handle_datagram(node(2), Address("10.0.0.2", 7701), Ack(timer[1], b"", []))
    assert tested.handle_timer(timer) == []
