"""A node's obedience to its coordinator."""

from __future__ import annotations

from grid.partition.effects import (
    AskHoldings,
    AskRelease,
    LeaveGranted,
    PartitionEffect,
    SendToNode,
    ServeTable,
)
from grid.partition.follower import PENDING_MAX, Follower
from grid.partition.messages import (
    Collect,
    CollectRefused,
    Holding,
    Holdings,
    LeaveAllowed,
    Publish,
    Release,
    Released,
    TableWanted,
)
from grid.types import NO_TABLE, NodeId, TableStamp

from .samples import node, stamp, table_of


def collect(follower: Follower, table_stamp: TableStamp) -> list[PartitionEffect]:
    """Let the coordinator that would write such a stamp ask."""
    return follower.handle_message(NodeId(table_stamp.coordinator), Collect(1, table_stamp))


def following(table_stamp: TableStamp) -> Follower:
    """Return a follower, node 5, that serves a table of that stamp."""
    follower = Follower(node(5))
    follower.adopt(table_of(table_stamp, [NodeId(table_stamp.coordinator), node(5)]))
    assert follower.stamp == table_stamp
    return follower


def test_node_without_a_table_says_so() -> None:
    assert Follower(node(5)).stamp == NO_TABLE


def test_collect_is_answered_with_the_truth_of_the_storage() -> None:
    follower = following(stamp(1, 1, 3))
    (asked,) = collect(follower, stamp(1, 1, 4))
    assert isinstance(asked, AskHoldings)
    held = [Holding(7, 2, 100)]
    assert follower.holdings_known(asked.token, held) == [
        SendToNode(node(1), Holdings(1, stamp(1, 1, 3), held))
    ]


def test_answers_of_the_storage_are_used_once() -> None:
    follower = following(stamp(1, 1, 3))
    (asked,) = collect(follower, stamp(1, 1, 4))
    assert isinstance(asked, AskHoldings)
    follower.holdings_known(asked.token, [])
    assert follower.holdings_known(asked.token, []) == []
    assert follower.released(asked.token, []) == []


def test_inferior_coordinator_is_refused_with_the_superior_stamp() -> None:
    follower = following(stamp(2, 3, 1))
    for inferior in (stamp(1, 1, 9), stamp(2, 4, 9)):
        assert collect(follower, inferior) == [
            SendToNode(NodeId(inferior.coordinator), CollectRefused(1, stamp(2, 3, 1)))
        ]


def test_promise_binds_before_any_table_is_published() -> None:
    follower = following(stamp(1, 3, 1))
    collect(follower, stamp(2, 4, 1))
    assert collect(follower, stamp(1, 3, 2)) == [
        SendToNode(node(3), CollectRefused(1, stamp(2, 4, 1)))
    ]
    older = table_of(stamp(1, 3, 2), [node(3), node(5)])
    assert follower.handle_message(node(3), Publish(older)) == []
    assert follower.stamp == stamp(1, 3, 1)


def test_coordinator_that_asks_again_with_the_same_stamp_is_answered() -> None:
    follower = following(stamp(1, 1, 3))
    for _ in range(2):
        assert [type(effect) for effect in collect(follower, stamp(1, 1, 4))] == [AskHoldings]


def test_release_is_for_the_coordinator_followed_only() -> None:
    follower = following(stamp(1, 3, 1))
    collect(follower, stamp(2, 4, 1))
    assert follower.handle_message(node(3), Release(1, [1], [])) == []
    (asked,) = follower.handle_message(node(4), Release(1, [1, 2], [7]))
    assert isinstance(asked, AskRelease)
    assert (asked.partition_ids, asked.handovers) == ((1, 2), (7,))
    assert follower.released(asked.token, [2]) == [SendToNode(node(4), Released(1, [2]))]


def test_release_that_comes_after_its_round_is_not_obeyed() -> None:
    follower = following(stamp(1, 3, 1))
    collect(follower, stamp(1, 3, 2))
    assert follower.handle_message(node(3), Release(7, [], [1])) == []
    follower.adopt(table_of(stamp(1, 3, 2), [node(3), node(5)]))
    assert follower.handle_message(node(3), Release(1, [], [1])) == []


def test_older_table_than_promised_would_give_back_what_is_let_go_of() -> None:
    follower = following(stamp(1, 3, 1))
    collect(follower, stamp(1, 3, 3))
    late = table_of(stamp(1, 3, 2), [node(3), node(5)])
    assert follower.handle_message(node(3), Publish(late)) == []
    following_table = table_of(stamp(1, 3, 3), [node(3), node(5)])
    assert follower.handle_message(node(3), Publish(following_table)) != []


def test_coordinator_s_own_node_may_learn_of_the_predecessor_s_last_table() -> None:
    follower = following(stamp(1, 3, 1))
    collect(follower, stamp(2, 5, 1))
    late = table_of(stamp(1, 3, 2), [node(3), node(5)])
    assert follower.handle_message(node(3), Publish(late)) == [ServeTable(late)]
    own = table_of(stamp(2, 5, 1), [node(5)])
    assert follower.adopt(own) == [ServeTable(own)]


def test_leave_that_is_allowed_is_passed_on() -> None:
    follower = following(stamp(1, 3, 1))
    assert follower.handle_message(node(3), LeaveAllowed()) == [LeaveGranted()]


def test_published_table_is_served_if_it_supersedes() -> None:
    follower = following(stamp(1, 3, 5))
    for table_stamp, is_served in [
        (stamp(1, 3, 4), False),
        (stamp(1, 3, 5), False),
        (stamp(1, 4, 9), False),
        (stamp(1, 3, 6), True),
        (stamp(1, 2, 1), True),
        (stamp(2, 9, 1), True),
    ]:
        table = table_of(table_stamp, [NodeId(table_stamp.coordinator), node(5)])
        expected = [ServeTable(table)] if is_served else []
        assert follower.handle_message(node(3), Publish(table)) == expected
        assert (follower.table == table) is (is_served or table_stamp == stamp(1, 3, 5))


def test_table_that_does_not_list_this_node_is_not_served() -> None:
    follower = Follower(node(5))
    assert follower.adopt(table_of(stamp(1, 1, 1), [node(1), node(2)])) == []
    assert follower.table is None


def test_table_is_sent_to_whoever_is_behind() -> None:
    follower = following(stamp(1, 1, 3))
    assert follower.table is not None
    sent = [SendToNode(node(2), Publish(follower.table))]
    assert follower.handle_message(node(2), TableWanted(NO_TABLE)) == sent
    assert follower.handle_message(node(2), TableWanted(stamp(1, 1, 2))) == sent
    assert follower.handle_message(node(2), TableWanted(stamp(1, 1, 3))) == []
    assert Follower(node(6)).handle_message(node(2), TableWanted(NO_TABLE)) == []


def test_oldest_open_question_is_forgotten_beyond_the_bound() -> None:
    follower = following(stamp(1, 1, 3))
    tokens = []
    for _ in range(PENDING_MAX + 1):
        (asked,) = collect(follower, stamp(1, 1, 4))
        assert isinstance(asked, AskHoldings)
        tokens.append(asked.token)
    assert follower.holdings_known(tokens[0], []) == []
    assert len(follower.holdings_known(tokens[1], [])) == 1
