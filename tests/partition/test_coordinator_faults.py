"""What a coordinator must not fall for: old words, empty claims, promises to the dead."""

from __future__ import annotations

from grid.partition.coordinator import CHECK_TIMER, Coordinator
from grid.partition.effects import PartitionEffect, SendToNode
from grid.partition.follower import Follower
from grid.partition.messages import (
    AcceptLoss,
    Collect,
    CollectRefused,
    Holding,
    Holdings,
    Release,
    Released,
)
from grid.partition.table import PartitionTable, make_table
from grid.types import PARTITION_COUNT, NodeId, TableStamp

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
        self.coordinator = Coordinator(self.follower)
        self.coordinator.alive_changed(frozenset(map(node, alive)))

    @property
    def table(self) -> PartitionTable:
        assert self.follower.table is not None
        return self.follower.table

    def collect(self) -> Collect:
        (question, *_) = of_kind(SendToNode, self.coordinator.handle_timer(CHECK_TIMER))
        assert isinstance(question.message, Collect)
        return question.message

    def hold(
        self, number: int, question: Collect, held: range, *, epoch: int = 1, stamp: int = 1
    ) -> list[PartitionEffect]:
        holdings = [Holding(p, epoch, 0) for p in held]
        answer = Holdings(question.round, TableStamp(1, node(stamp), 1), holdings)
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
    effects = cluster.hold(2, question, EVERYTHING, stamp=2)  # It has founded its own cluster.
    cluster.release_all(question, effects)
    assert len(cluster.table.lost()) == HALF
    assert cluster.table.order == (node(1), node(2))


def test_an_acceptance_said_to_somebody_else_s_coordinator_is_not_kept_for_later() -> None:
    table = table_of({range(HALF): 3, range(HALF, PARTITION_COUNT): 1}, 3, 3, 1)
    cluster = Round(table, 1, 3)
    cluster.coordinator.handle_message(node(1), AcceptLoss())
    cluster.coordinator.handle_timer(CHECK_TIMER)
    cluster.coordinator.alive_changed(frozenset([node(1)]))  # Much later node 3 dies.
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


def test_epochs_rise_above_what_a_missed_table_has_given() -> None:
    cluster = Round(table_of({EVERYTHING: 1}, 3, 3, 1, 2), 1, 2)
    question = cluster.collect()
    cluster.hold(1, question, range(0))
    effects = cluster.hold(2, question, EVERYTHING, epoch=2, stamp=3)
    cluster.release_all(question, effects)
    owned = [*cluster.table.owned_by(node(1)).values(), *cluster.table.owned_by(node(2)).values()]
    assert len(owned) == PARTITION_COUNT
    assert all(epoch > 2 for epoch in cluster.table.owned_by(node(1)).values())


def test_a_promise_to_a_dead_coordinator_is_overcome_by_a_higher_term() -> None:
    cluster = Round(table_of({EVERYTHING: 3}, 3, 3, 2, 1), 1)
    question = cluster.collect()
    assert question.stamp.term == 2
    promised = TableStamp(2, node(0), 1)  # Node 0 collected, and died before it published.
    cluster.coordinator.handle_message(node(1), CollectRefused(question.round, promised))
    assert cluster.collect().stamp.term == 3
