"""The coordinator's rounds, message by message."""

from __future__ import annotations

import pytest

from grid.partition.coordinator import (
    CHECK_TIMER,
    DEBOUNCE_S,
    PHASE_DEADLINE_S,
    PHASE_TIMER,
    RETRY_S,
    STAND_DOWN_S,
    Coordinator,
    coordinator_of,
)
from grid.partition.effects import PartitionEffect, SendToNode, ServeTable
from grid.partition.follower import Follower
from grid.partition.messages import (
    AcceptLoss,
    Collect,
    CollectRefused,
    Holding,
    Holdings,
    Leaving,
    Publish,
    Release,
    Released,
    RoundWanted,
)
from grid.partition.table import PartitionTable
from grid.types import NO_TABLE, PARTITION_COUNT, LogLine, NodeId, PartitionId, SetTimer

from .samples import holds, node, of_kind, stamp, table_of

HALF = PARTITION_COUNT // 2


class Desk:
    """A coordinator, node 1, and what a test does to it."""

    def __init__(self, table: PartitionTable | None = None) -> None:
        self.follower = Follower(node(1))
        self.coordinator = Coordinator(self.follower, backup_count=0)
        if table is None:
            self.coordinator.found()
        else:
            self.follower.adopt(table)

    @property
    def table(self) -> PartitionTable:
        assert self.follower.table is not None
        return self.follower.table

    def alive(self, *numbers: int) -> list[PartitionEffect]:
        return self.coordinator.alive_changed({node(n): f"host{n}" for n in numbers})

    def collect(self, *numbers: int) -> Collect:
        """Begin a round with these living members; return the question."""
        self.alive(*numbers)
        self.coordinator.handle_message(node(1), RoundWanted())
        asked = of_kind(SendToNode, self.coordinator.handle_timer(CHECK_TIMER))
        assert [effect.node_id for effect in asked] == [node(number) for number in numbers]
        question = asked[0].message
        assert isinstance(question, Collect)
        return question

    def holdings(
        self, number: int, question: Collect, held: list[Holding]
    ) -> list[PartitionEffect]:
        stamp = self.table.stamp if node(number) in self.table.order else NO_TABLE
        answer = Holdings(question.round, stamp, held)
        return self.coordinator.handle_message(node(number), answer)

    def released(
        self, number: int, question: Collect, partition_ids: list[int]
    ) -> list[PartitionEffect]:
        answer = Released(question.round, partition_ids)
        return self.coordinator.handle_message(node(number), answer)

    def answer_for_own(self, question: Collect, entries: dict[int, int] | None = None):
        return self.holdings(1, question, holds(self.table, node(1), entries))

    def admit_second(self) -> None:
        """Run the round that gives half of the partitions to node 2."""
        question = self.collect(1, 2)
        self.answer_for_own(question)
        (asked,) = of_kind(SendToNode, self.holdings(2, question, []))
        assert isinstance(asked.message, Release)
        self.released(1, question, asked.message.partition_ids)
        assert len(self.table.owned_by(node(2))) == HALF


def published(effects: list[PartitionEffect]) -> dict[NodeId, PartitionTable]:
    return {
        effect.node_id: effect.message.table
        for effect in of_kind(SendToNode, effects)
        if isinstance(effect.message, Publish)
    }


def asked_to_release(effects: list[PartitionEffect]) -> dict[NodeId, list[int]]:
    return {
        effect.node_id: effect.message.partition_ids
        for effect in of_kind(SendToNode, effects)
        if isinstance(effect.message, Release)
    }


def test_founder_holds_everything_in_the_first_table() -> None:
    desk = Desk()
    assert desk.table.stamp == stamp(1, 1, 1)
    assert len(desk.table.owned_by(node(1))) == PARTITION_COUNT
    assert desk.coordinator.is_active


def test_oldest_living_member_of_the_order_coordinates() -> None:
    table = table_of(stamp(1, 3, 1), [node(3), node(1), node(2)])
    everybody = frozenset(map(node, (1, 2, 3)))
    assert coordinator_of(table, everybody) == node(3)
    assert coordinator_of(table, everybody - {node(3)}) == node(1)
    assert coordinator_of(table, frozenset([node(9)])) is None
    assert coordinator_of(None, everybody) is None


def test_changes_are_debounced_and_only_the_coordinator_acts() -> None:
    desk = Desk(table_of(stamp(1, 3, 1), [node(3), node(1)]))
    assert desk.alive(1, 3) == [SetTimer(CHECK_TIMER, DEBOUNCE_S)]
    assert desk.coordinator.handle_timer(CHECK_TIMER) == []
    desk.alive(1)
    assert desk.coordinator.handle_timer(CHECK_TIMER) != []
    assert desk.coordinator.handle_timer(CHECK_TIMER) == []  # The round is under way.


def test_takeover_raises_the_term_and_a_continuation_the_version() -> None:
    assert Desk(table_of(stamp(4, 3, 9), [node(3), node(1)])).collect(1).stamp == stamp(5, 1, 1)
    assert Desk(table_of(stamp(4, 1, 9), [node(1)])).collect(1).stamp == stamp(4, 1, 10)


def test_newcomer_gets_its_share_once_it_was_released() -> None:
    desk = Desk()
    question = desk.collect(1, 2)
    assert of_kind(SendToNode, desk.answer_for_own(question)) == []
    effects = desk.holdings(2, question, [])
    asked = asked_to_release(effects)
    assert list(asked) == [node(1)]
    assert len(asked[node(1)]) == HALF
    assert SetTimer(PHASE_TIMER, PHASE_DEADLINE_S) in effects
    assert desk.table.version == 1  # Nothing is published before the release.
    effects = desk.released(1, question, asked[node(1)])
    assert published(effects) == {node(2): desk.table}
    assert of_kind(ServeTable, effects) == [ServeTable(desk.table)]
    assert desk.table.stamp == stamp(1, 1, 2)
    assert desk.table.order == (node(1), node(2))
    assert set(desk.table.owned_by(node(2))) == set(asked[node(1)])
    assert set(desk.table.owned_by(node(2)).values()) == {2}
    assert set(desk.table.owned_by(node(1)).values()) == {1}


def test_partition_with_entries_is_not_moved() -> None:
    desk = Desk()
    question = desk.collect(1, 2)
    desk.answer_for_own(question, dict.fromkeys(range(200), 1))
    asked = asked_to_release(desk.holdings(2, question, []))
    assert set(asked[node(1)]) <= set(range(200, PARTITION_COUNT))
    desk.released(1, question, asked[node(1)])
    assert set(range(200)) <= set(desk.table.owned_by(node(1)))


def test_partition_that_got_an_entry_meanwhile_stays_and_another_round_follows() -> None:
    desk = Desk()
    question = desk.collect(1, 2)
    desk.answer_for_own(question)
    kept, *given = asked_to_release(desk.holdings(2, question, []))[node(1)]
    effects = desk.released(1, question, given)
    assert desk.table.primary_of(PartitionId(kept)) == node(1)
    assert desk.table.epoch_of(PartitionId(kept)) == 1
    assert set(desk.table.owned_by(node(2))) == set(given)
    assert SetTimer(CHECK_TIMER, RETRY_S) in effects


def test_release_that_is_not_answered_moves_nothing() -> None:
    desk = Desk()
    question = desk.collect(1, 2)
    desk.answer_for_own(question)
    desk.holdings(2, question, [])
    effects = desk.coordinator.handle_timer(PHASE_TIMER)
    assert len(desk.table.owned_by(node(1))) == PARTITION_COUNT
    assert SetTimer(CHECK_TIMER, RETRY_S) in effects


def test_member_that_does_not_answer_keeps_its_partitions() -> None:
    desk = Desk()
    desk.admit_second()
    before = desk.table.owned_by(node(2))
    question = desk.collect(1, 2, 3)
    desk.answer_for_own(question)
    desk.holdings(3, question, [])
    effects = desk.coordinator.handle_timer(PHASE_TIMER)
    released = asked_to_release(effects)
    assert set(released) == {node(1)}  # It gives up no more than a third of its own.
    assert len(released[node(1)]) <= HALF - PARTITION_COUNT // 3
    effects = desk.released(1, question, released[node(1)])
    assert desk.table.owned_by(node(2)) == before
    assert desk.table.order == (node(1), node(2), node(3))
    assert SetTimer(CHECK_TIMER, RETRY_S) in effects  # Another round evens the shares.


def test_late_and_foreign_answers_are_ignored() -> None:
    desk = Desk()
    question = desk.collect(1, 2)
    stale = Collect(question.round - 1, question.stamp)
    assert desk.holdings(2, stale, []) == []
    assert desk.holdings(7, question, []) == []
    assert desk.released(2, question, [1]) == []
    assert desk.holdings(2, question, []) == []
    assert desk.holdings(2, question, [Holding(1, 9, 9)]) == []
    effects = desk.answer_for_own(question)
    assert len(asked_to_release(effects)[node(1)]) == HALF


def test_partitions_of_a_dead_node_are_lost_until_a_person_accepts() -> None:
    desk = Desk()
    desk.admit_second()
    gone = set(desk.table.owned_by(node(2)))
    for _ in range(2):
        desk.answer_for_own(desk.collect(1))
        assert set(desk.table.lost()) == gone
    assert desk.coordinator.handle_message(node(1), AcceptLoss()) == [SetTimer(CHECK_TIMER, 0.0)]
    desk.answer_for_own(desk.collect(1))
    assert desk.table.lost() == []
    assert {desk.table.epoch_of(partition_id) for partition_id in gone} == {4}


def test_loss_is_accepted_once_and_not_for_the_next_death() -> None:
    desk = Desk()
    desk.coordinator.handle_message(node(1), AcceptLoss())
    desk.answer_for_own(desk.collect(1))
    desk.admit_second()
    desk.answer_for_own(desk.collect(1))
    assert len(desk.table.lost()) == HALF


@pytest.mark.parametrize("filled", [0, 1, 5])
def test_leaver_loses_exactly_the_partitions_with_entries(filled: int) -> None:
    desk = Desk()
    desk.admit_second()
    with_entries = sorted(desk.table.owned_by(node(2)))[:filled]
    held = [Holding(p, 2, 1) for p in with_entries]
    assert desk.coordinator.handle_message(node(2), Leaving(held)) == []
    desk.answer_for_own(desk.collect(1))
    assert desk.table.lost() == with_entries
    assert len(desk.table.owned_by(node(1))) == PARTITION_COUNT - filled


def test_superior_coordinator_is_given_way() -> None:
    desk = Desk()
    question = desk.collect(1, 2)
    refusal = CollectRefused(question.round, stamp(9, 2, 1))
    effects = desk.coordinator.handle_message(node(2), refusal)
    assert of_kind(SetTimer, effects) == [SetTimer(CHECK_TIMER, STAND_DOWN_S)]
    assert desk.answer_for_own(question) == []
    assert desk.table.version == 1


def test_founder_that_gives_way_brings_its_empty_partitions_back() -> None:
    desk = Desk()
    other = table_of(stamp(1, 2, 1), [node(2)])
    question = desk.collect(1, 2)
    desk.answer_for_own(question)
    asked = asked_to_release(desk.holdings(2, question, holds(other, node(2))))
    # What it served for its own cluster, even what it shall have here.
    assert len(asked[node(1)]) == HALF
    assert len(asked[node(2)]) == PARTITION_COUNT
    desk.released(1, question, asked[node(1)])
    desk.released(2, question, asked[node(2)])
    assert set(desk.table.owned_by(node(2))) == set(asked[node(1)])


def test_newcomer_with_entries_where_nobody_has_any_keeps_them() -> None:
    desk = Desk()
    other = table_of(stamp(1, 2, 1), [node(2)])
    question = desk.collect(1, 2)
    desk.answer_for_own(question)
    effects = desk.holdings(2, question, holds(other, node(2), dict.fromkeys(range(150), 1)))
    asked = asked_to_release(effects)
    assert set(range(150)) <= set(asked[node(1)])
    desk.released(1, question, asked[node(1)])
    desk.released(2, question, asked[node(2)])
    assert set(desk.table.owned_by(node(2))) == set(range(150))


def test_newcomer_with_entries_of_filled_partitions_is_not_admitted() -> None:
    desk = Desk()
    other = table_of(stamp(1, 2, 1), [node(2)])
    warnings = []
    for _ in range(2):
        question = desk.collect(1, 2)
        desk.answer_for_own(question, {7: 1})
        effects = desk.holdings(2, question, holds(other, node(2), {7: 1}))
        warnings += [line for line in of_kind(LogLine, effects) if "not admitted" in line.text]
        assert asked_to_release(effects) == {}
        assert desk.table.order == (node(1),)
    assert len(warnings) == 1


def test_newcomer_that_does_not_let_go_is_admitted_another_time() -> None:
    desk = Desk()
    other = table_of(stamp(1, 2, 1), [node(2)])
    question = desk.collect(1, 2)
    desk.answer_for_own(question)
    asked = asked_to_release(desk.holdings(2, question, holds(other, node(2))))
    desk.released(1, question, asked[node(1)])
    effects = desk.coordinator.handle_timer(PHASE_TIMER)
    assert desk.table.order == (node(1),)
    assert len(desk.table.owned_by(node(1))) == PARTITION_COUNT
    assert SetTimer(CHECK_TIMER, RETRY_S) in effects


def test_unchanged_cluster_gets_no_new_table() -> None:
    desk = Desk()
    desk.admit_second()
    before = desk.table
    question = desk.collect(1, 2)
    desk.answer_for_own(question)
    assert published(desk.holdings(2, question, holds(before, node(2)))) == {}
    assert desk.table is before


def test_member_that_serves_less_than_the_table_says_is_told_again() -> None:
    desk = Desk()
    desk.admit_second()
    question = desk.collect(1, 2)
    desk.answer_for_own(question)
    effects = desk.holdings(2, question, holds(desk.table, node(2))[1:])
    assert published(effects) == {node(2): desk.table}
    assert desk.table.version == 3
