"""What a coordinator must not fall for: old words, empty claims, promises to the dead."""

from __future__ import annotations

from grid.partition.coordinator import (
    CHECK_TIMER,
    HUNG_ROUNDS,
    PHASE_TIMER,
    STAND_DOWN_S,
    Coordinator,
)
from grid.partition.effects import PartitionEffect, SendToNode
from grid.partition.follower import Follower
from grid.partition.messages import (
    AcceptLoss,
    Collect,
    CollectRefused,
    Holding,
    Holdings,
    Publish,
    Release,
    Released,
    TableWanted,
)
from grid.partition.table import PartitionTable, make_table
from grid.types import PARTITION_COUNT, NodeId, SetTimer, TableStamp

from .samples import node, of_kind

HALF = PARTITION_COUNT // 2
EVERYTHING = range(PARTITION_COUNT)


def table_of(owners: dict[range, int | None], coordinator: int, *order: int) -> PartitionTable:
    """Return a table: owners by ranges of partitions, everything at epoch 1."""
    whole: list[NodeId | None] = [None] * PARTITION_COUNT
    for partition_ids, owner in owners.items():
        for partition_id in partition_ids:
            whole[partition_id] = None if owner is None else node(owner)
    stamp = TableStamp(1, node(coordinator), 5)
    return make_table(stamp, [node(n) for n in order], whole, [1] * PARTITION_COUNT)


class Round:
    """Node 1 with its table, taken through one round after the other."""

    def __init__(self, table: PartitionTable, *alive: int) -> None:
        self.follower = Follower(node(1))
        self.follower.adopt(table)
        self.coordinator = Coordinator(self.follower, backup_count=0)
        self.coordinator.alive_changed({node(n): f"host{n}" for n in alive})

    @property
    def table(self) -> PartitionTable:
        assert self.follower.table is not None
        return self.follower.table

    def collect(self) -> Collect:
        (question, *_) = of_kind(SendToNode, self.coordinator.handle_timer(CHECK_TIMER))
        assert isinstance(question.message, Collect)
        return question.message

    def hold(
        self,
        number: int,
        question: Collect,
        held: range,
        *,
        epoch: int = 1,
        stamp: TableStamp | None = None,
    ) -> list[PartitionEffect]:
        holdings = [Holding(p, epoch, 0) for p in held]
        answer = Holdings(question.round, stamp or self.follower.stamp, holdings)
        return self.coordinator.handle_message(node(number), answer)

    def release_all(self, question: Collect, effects: list[PartitionEffect]) -> None:
        for effect in of_kind(SendToNode, effects):
            if isinstance(effect.message, Release):
                answer = Released(question.round, effect.message.partition_ids)
                self.coordinator.handle_message(effect.node_id, answer)


def test_a_newcomer_s_empty_claim_does_not_bring_a_lost_partition_back() -> None:
    cluster = Round(table_of({range(HALF): 1}, 1, 1), 1, 2)
    question = cluster.collect()
    cluster.hold(1, question, range(HALF))
    effects = cluster.hold(
        2, question, EVERYTHING, stamp=TableStamp(1, node(2), 1)
    )  # It has founded its own cluster.
    cluster.release_all(question, effects)
    assert len(cluster.table.lost()) == HALF
    assert cluster.table.order == (node(1), node(2))


def test_an_acceptance_said_to_somebody_else_s_coordinator_is_not_kept_for_later() -> None:
    table = table_of({range(HALF): 3, range(HALF, PARTITION_COUNT): 1}, 3, 3, 1)
    cluster = Round(table, 1, 3)
    cluster.coordinator.handle_message(node(1), AcceptLoss())
    cluster.coordinator.handle_timer(CHECK_TIMER)
    cluster.coordinator.alive_changed({node(1): "host1"})  # Much later node 3 dies.
    cluster.hold(1, cluster.collect(), range(HALF, PARTITION_COUNT))
    assert len(cluster.table.lost()) == HALF


def test_an_acceptance_in_the_middle_of_a_round_is_used_in_the_next() -> None:
    cluster = Round(table_of({range(200): 1}, 1, 1), 1, 2)
    question = cluster.collect()
    cluster.hold(1, question, range(200))
    effects = cluster.hold(2, question, range(0))
    cluster.coordinator.handle_message(node(1), AcceptLoss())
    cluster.release_all(question, effects)
    assert len(cluster.table.lost()) == PARTITION_COUNT - 200
    question = cluster.collect()
    for number in (1, 2):
        owned = cluster.table.owned_by(node(number))
        held = [Holding(p, epoch, 0) for p, epoch in owned.items()]
        answer = Holdings(question.round, cluster.follower.stamp, held)
        effects = cluster.coordinator.handle_message(node(number), answer)
    cluster.release_all(question, effects)
    assert cluster.table.lost() == []


def test_the_predecessor_s_last_table_is_fetched_before_anything_is_decided() -> None:
    before = table_of({EVERYTHING: 1}, 3, 3, 1, 2)
    last = make_table(
        TableStamp(1, node(3), 6), [node(3), node(1), node(2)], [node(2)] * 256, [2] * 256
    )
    cluster = Round(before, 1, 2)
    question = cluster.collect()
    cluster.hold(1, question, range(0))
    effects = cluster.hold(2, question, EVERYTHING, epoch=2, stamp=last.stamp)
    assert of_kind(SendToNode, effects) == [SendToNode(node(2), TableWanted(before.stamp))]
    # This node has promised itself to its own table, and yet may learn of that one.
    cluster.follower.handle_message(node(2), Publish(last))
    assert cluster.table == last
    question = cluster.collect()
    cluster.hold(1, question, range(0))
    effects = cluster.hold(2, question, EVERYTHING, epoch=2, stamp=last.stamp)
    cluster.release_all(question, effects)
    assert cluster.table.term == 2
    assert len(cluster.table.owned_by(node(2))) == HALF
    assert set(cluster.table.owned_by(node(1)).values()) == {3}


def test_a_table_that_cannot_be_had_is_inferred_from_what_is_held() -> None:
    cluster = Round(table_of({EVERYTHING: 1}, 3, 3, 1, 2), 1, 2)
    for _ in range(HUNG_ROUNDS + 1):
        question = cluster.collect()
        cluster.hold(1, question, range(0))
        effects = cluster.hold(2, question, EVERYTHING, epoch=2, stamp=TableStamp(1, node(3), 6))
    cluster.release_all(question, effects)
    owned = [*cluster.table.owned_by(node(1)).values(), *cluster.table.owned_by(node(2)).values()]
    assert len(owned) == PARTITION_COUNT
    assert all(epoch > 2 for epoch in owned)


def test_a_takeover_waits_for_every_member_but_not_for_ever() -> None:
    cluster = Round(table_of({EVERYTHING: 1}, 3, 3, 1, 2), 1, 2)
    for attempt in range(HUNG_ROUNDS):
        assert cluster.table.term == 1, attempt
        cluster.hold(1, cluster.collect(), EVERYTHING)
        cluster.coordinator.handle_timer(PHASE_TIMER)
    assert cluster.table.term == 2
    assert cluster.table.order == (node(1), node(2))


def test_a_member_that_followed_a_mistaken_takeover_is_won_back_by_a_higher_term() -> None:
    cluster = Round(table_of({EVERYTHING: 1}, 1, 1, 2, 3), 1, 2, 3)
    mistaken = TableStamp(2, node(2), 1)  # Node 2 took node 1 for dead for a moment.
    question = cluster.collect()
    effects = cluster.coordinator.handle_message(node(3), CollectRefused(question.round, mistaken))
    assert of_kind(SetTimer, effects) == [SetTimer(CHECK_TIMER, STAND_DOWN_S)]
    question = cluster.collect()
    assert question.stamp.term == 1
    cluster.coordinator.handle_message(node(3), CollectRefused(question.round, mistaken))
    assert cluster.collect().stamp.term == 3


def test_a_death_in_the_middle_of_a_round_begins_it_anew() -> None:
    cluster = Round(table_of({EVERYTHING: 1}, 1, 1, 2), 1, 2)
    question = cluster.collect()
    cluster.hold(1, question, EVERYTHING)
    cluster.coordinator.alive_changed({node(1): "host1"})
    assert cluster.hold(2, question, range(0)) == []
    again = cluster.collect()
    assert again.round == question.round + 1
    cluster.hold(1, again, EVERYTHING)
    assert cluster.table.order == (node(1),)


def test_what_was_let_go_of_in_a_round_without_a_table_is_given_back() -> None:
    cluster = Round(table_of({EVERYTHING: 1}, 1, 1, 2), 1, 2)
    question = cluster.collect()
    cluster.hold(1, question, EVERYTHING)
    cluster.hold(2, question, range(0))
    cluster.coordinator.alive_changed({node(1): "host1"})
    version = cluster.table.version
    cluster.hold(1, cluster.collect(), EVERYTHING)
    assert cluster.table.version > version


def test_a_promise_to_a_dead_coordinator_is_overcome_by_a_higher_term() -> None:
    cluster = Round(table_of({EVERYTHING: 3}, 3, 3, 2, 1), 1)
    question = cluster.collect()
    assert question.stamp.term == 2
    promised = TableStamp(2, node(0), 1)  # Node 0 collected, and died before it published.
    cluster.coordinator.handle_message(node(1), CollectRefused(question.round, promised))
    assert cluster.collect().stamp.term == 3
