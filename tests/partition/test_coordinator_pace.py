"""When rounds begin, when they end, and who may leave."""

from __future__ import annotations

from grid.partition.coordinator import (
    CHECK_TIMER,
    DEBOUNCE_S,
    NET_S,
    PACE_MAX_S,
    Coordinator,
)
from grid.partition.effects import PartitionEffect, SendToNode
from grid.partition.follower import Follower
from grid.partition.messages import (
    Collect,
    Holding,
    Holdings,
    LeaveAllowed,
    LeaveWanted,
    Publish,
    RoundWanted,
)
from grid.partition.table import PartitionTable, make_table
from grid.types import PARTITION_COUNT, NodeId, SetTimer

from .samples import filled, holds, node, of_kind, stamp

ONE, TWO, THREE = node(1), node(2), node(3)
HOSTS = {ONE: "a", TWO: "b", THREE: "c"}
EVERYTHING = dict.fromkeys(range(PARTITION_COUNT), 1)


def balanced(*, synced: bool = True) -> PartitionTable:
    """Return a table of nodes 1 and 2."""
    owners, backups = [ONE, TWO] * (PARTITION_COUNT // 2), [TWO, ONE] * (PARTITION_COUNT // 2)
    is_synced = [synced] * PARTITION_COUNT
    epochs = [1] * PARTITION_COUNT
    return make_table(stamp(1, 1, 4), [ONE, TWO], owners, epochs, backups, is_synced)


class Desk:
    """Node 1 as the coordinator."""

    def __init__(self, table: PartitionTable, *alive: NodeId) -> None:
        self.follower = Follower(ONE)
        self.follower.adopt(table)
        self.coordinator = Coordinator(self.follower)
        self.coordinator.alive_changed({n: HOSTS[n] for n in alive})

    @property
    def table(self) -> PartitionTable:
        assert self.follower.table is not None
        return self.follower.table

    def say(self, sender: NodeId, message: RoundWanted | LeaveWanted) -> list[PartitionEffect]:
        return self.coordinator.handle_message(sender, message)

    def round(self, *, is_filled: bool = False) -> list[PartitionEffect]:
        """Run a round in which everybody holds what the table says; return its last effects."""
        effects = self.coordinator.handle_timer(CHECK_TIMER)
        table = self.table
        for asked in of_kind(SendToNode, effects):
            assert isinstance(asked.message, Collect)
            held: list[Holding] = holds(table, asked.node_id, EVERYTHING)
            answer = filled(held, table) if is_filled else held
            effects = self.coordinator.handle_message(
                asked.node_id, Holdings(asked.message.round, table.stamp, answer)
            )
        return effects


def test_settled_cluster_sets_no_timer_and_sends_nothing() -> None:
    desk = Desk(balanced(), ONE, TWO)
    assert desk.round() == []
    assert desk.coordinator.handle_timer(CHECK_TIMER) == []
    assert desk.coordinator.alive_changed({ONE: "a", TWO: "b"}) == []


def test_while_copies_are_filled_a_round_comes_now_and_then() -> None:
    desk = Desk(balanced(synced=False), ONE, TWO)
    assert desk.round() == [SetTimer(CHECK_TIMER, NET_S)]
    assert desk.table.version == 4


def test_completed_copies_are_called_synced_in_one_table() -> None:
    desk = Desk(balanced(synced=False), ONE, TWO)
    desk.round()
    assert desk.say(TWO, RoundWanted()) != []
    effects = desk.round(is_filled=True)
    assert [type(sent.message) for sent in of_kind(SendToNode, effects)] == [Publish]
    assert desk.table.unprotected() == []
    assert set(desk.table.epochs) == {1}
    assert of_kind(SetTimer, effects) == []


def test_rounds_for_the_sake_of_copies_come_ever_more_rarely() -> None:
    desk = Desk(balanced(synced=False), ONE, TWO)
    delays = []
    desk.round()
    for _ in range(8):
        (timer,) = of_kind(SetTimer, desk.say(TWO, RoundWanted()))
        delays.append(timer.delay_s)
        desk.round()
    assert delays == sorted(delays)
    assert delays[0] <= 4 * DEBOUNCE_S
    assert delays[-1] == PACE_MAX_S


def test_round_for_the_last_copy_of_a_process_is_not_put_off() -> None:
    desk = Desk(balanced(synced=False), ONE, TWO)
    for _ in range(8):
        desk.round()
    desk.say(TWO, RoundWanted())
    (timer,) = of_kind(SetTimer, desk.say(TWO, RoundWanted(is_last=True)))
    assert timer.delay_s == DEBOUNCE_S


def test_further_words_do_not_put_off_the_round_that_is_due() -> None:
    desk = Desk(balanced(synced=False), ONE, TWO)
    desk.round()
    assert len(desk.say(TWO, RoundWanted())) == 1
    assert desk.say(TWO, RoundWanted()) == []


def test_word_to_who_does_not_coordinate_is_not_heard() -> None:
    desk = Desk(make_table(stamp(1, 2, 1), [TWO, ONE], [TWO] * 256, [1] * 256), ONE, TWO)
    assert desk.say(TWO, RoundWanted()) == []
    assert desk.say(TWO, LeaveWanted()) == []


def test_who_has_no_role_may_leave_at_once() -> None:
    desk = Desk(balanced(), ONE, TWO, THREE)
    assert desk.say(THREE, LeaveWanted()) == [SendToNode(THREE, LeaveAllowed())]


def test_who_has_a_role_waits_and_asks_again_in_vain() -> None:
    desk = Desk(balanced(), ONE, TWO)
    desk.round()
    assert desk.say(TWO, LeaveWanted()) == [SetTimer(CHECK_TIMER, DEBOUNCE_S)]
    assert desk.say(TWO, LeaveWanted()) == []


def test_if_all_leave_all_may() -> None:
    desk = Desk(balanced(), ONE, TWO)
    desk.round()
    desk.say(TWO, LeaveWanted())
    assert desk.say(ONE, LeaveWanted()) == [SendToNode(ONE, LeaveAllowed())]
    assert desk.say(TWO, LeaveWanted()) == [SendToNode(TWO, LeaveAllowed())]


def test_only_node_may_leave() -> None:
    table = make_table(stamp(1, 1, 1), [ONE], [ONE] * 256, [1] * 256, backup_count=1)
    assert Desk(table, ONE).say(ONE, LeaveWanted()) == [SendToNode(ONE, LeaveAllowed())]
