"""What is repeated, what is not, and what each failure says: without I/O."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest

from grid.client.requests.core import PAUSE_MAX_S, PAUSE_MIN_S
from grid.client.requests.rounds import Claim, Portion
from grid.client.requests.steps import Ask, FetchTable, Pause
from grid.errors import (
    OperationError,
    OperationTimeoutError,
    PartitionLostError,
    ProtocolError,
)
from grid.storage.messages import (
    Done,
    Get,
    Missing,
    Put,
    RefusalReason,
    Refused,
    Reply,
    Size,
)
from grid.types import PARTITION_COUNT
from tests.client.fakes import DEADLINE_S, FakeCluster, FakeShell, Fault, once, steps_of

REPEATABLE = [Fault.NOT_CONNECTED, Fault.REFUSED]


def make_get(request: int, epoch: int) -> Get:
    return Get(request, "m", 7, epoch, b"k")


def make_put(request: int, epoch: int) -> Put:
    return Put(request, "m", 7, epoch, b"k", b"v")


def get(shell: FakeShell) -> Reply:
    return shell.run(shell.core.on_partition(7, make_get))


def put(shell: FakeShell) -> Reply:
    return shell.run(shell.core.on_partition(7, make_put))


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster()


def test_a_request_goes_to_the_owner_with_the_epoch_and_the_whole_deadline(cluster: FakeCluster):
    shell = FakeShell(cluster)
    ask = steps_of(shell.core.on_partition(7, make_get))
    assert isinstance(ask, Ask)
    assert ask.target is shell.core.routing.targets[7]
    assert ask.request == Get(1, "m", 7, 1, b"k")
    assert ask.deadline_s == cluster.now_s + DEADLINE_S


def test_a_refused_request_is_repeated_with_the_newer_table_s_epoch(cluster: FakeCluster):
    shell = FakeShell(cluster)
    cluster.move(7, 0)
    assert isinstance(put(shell), Done)
    first, second = shell.requests
    assert (first, second) == (Put(1, "m", 7, 1, b"k", b"v"), Put(1, "m", 7, 2, b"k", b"v"))
    assert (shell.fetches, shell.pauses) == (1, [])


def test_the_same_table_is_tried_again_after_pauses_that_grow(cluster: FakeCluster):
    shell = FakeShell(cluster, once(*[Fault.REFUSED] * 10))
    assert isinstance(put(shell), Done)
    assert (len(shell.requests), shell.fetches, len(shell.pauses)) == (11, 10, 10)
    for attempt, pause_s in enumerate(shell.pauses):
        whole_s = min(PAUSE_MIN_S * 2**attempt, PAUSE_MAX_S)
        assert whole_s / 2 <= pause_s <= whole_s


def test_a_table_that_another_caller_has_fetched_is_used_at_once(cluster: FakeCluster):
    shell = FakeShell(cluster)
    operation = shell.core.on_partition(7, make_put)
    cluster.move(7, 0)
    ask = next(operation)
    shell.core.adopt(cluster.view())
    assert isinstance(ask, Ask)
    again = operation.send(Refused(1, RefusalReason.NOT_OWNER, 7))
    assert isinstance(again, Ask)
    assert again.request == make_put(1, 2)


def test_a_table_that_cannot_be_fetched_is_waited_for(cluster: FakeCluster):
    shell = FakeShell(cluster)
    steps = shell.core.on_partition(7, make_put)
    refusal = Refused(1, RefusalReason.NOT_OWNER, 7)
    assert isinstance(steps_of(steps, refusal), FetchTable)
    assert isinstance(steps.send("nobody answers"), Pause)
    assert isinstance(steps.send(None), Ask)


@pytest.mark.parametrize("fault", [*REPEATABLE, Fault.LOST_BEFORE, Fault.LOST_AFTER])
def test_a_read_is_repeated_after_anything(cluster: FakeCluster, fault: Fault):
    shell = FakeShell(cluster, once(fault, fault))
    assert isinstance(get(shell), Missing)
    assert len(shell.requests) == 3


@pytest.mark.parametrize("fault", REPEATABLE)
def test_a_write_that_cannot_have_been_applied_is_repeated(cluster: FakeCluster, fault: Fault):
    shell = FakeShell(cluster, once(fault, fault))
    assert isinstance(put(shell), Done)
    assert len(shell.requests) == 3


def test_a_node_that_is_silent_until_the_deadline_leaves_a_write_unknown(cluster: FakeCluster):
    shell = FakeShell(cluster, once(Fault.LATE))
    with pytest.raises(OperationTimeoutError, match=r"no answer within 15 s \(") as raised:
        put(shell)
    assert raised.value.outcome == "unknown"


def test_a_node_that_is_silent_until_the_deadline_has_not_changed_anything_by_a_read(
    cluster: FakeCluster,
):
    shell = FakeShell(cluster, once(Fault.LATE))
    with pytest.raises(OperationTimeoutError, match="silent") as raised:
        get(shell)
    assert raised.value.outcome == "not_applied"


@pytest.mark.parametrize("fault", REPEATABLE)
def test_repeating_ends_with_the_deadline_and_says_why(cluster: FakeCluster, fault: Fault):
    began_s = cluster.now_s
    shell = FakeShell(cluster, lambda ask: fault)
    reason = "refused by n1: WRONG_EPOCH" if fault is Fault.REFUSED else "nobody takes"
    with pytest.raises(OperationTimeoutError, match=reason) as raised:
        put(shell)
    assert raised.value.outcome == "not_applied"
    assert began_s + DEADLINE_S <= cluster.now_s <= began_s + DEADLINE_S + 0.01


def test_a_deadline_counts_from_the_beginning_and_not_from_the_last_try(cluster: FakeCluster):
    shell = FakeShell(cluster, once(Fault.REFUSED, Fault.LATE))
    began_s = cluster.now_s
    with pytest.raises(OperationTimeoutError):
        get(shell)
    assert cluster.now_s == began_s + DEADLINE_S


def test_pauses_of_two_clients_differ(cluster: FakeCluster):
    shells = [FakeShell(cluster, once(Fault.REFUSED), seed=seed) for seed in range(2)]
    for shell in shells:
        put(shell)
    assert shells[0].pauses != shells[1].pauses


def test_a_lost_partition_is_said_to_be_lost(cluster: FakeCluster):
    cluster.lose(7)
    cluster.lose(8)
    shell = FakeShell(cluster)
    with pytest.raises(PartitionLostError, match=r"partition 7 .* \(2 of 256 are lost") as raised:
        put(shell)
    assert raised.value.outcome == "not_applied"
    assert shell.requests == []


def test_a_partition_is_lost_by_the_newest_table_only(cluster: FakeCluster):
    cluster.lose(7)
    shell = FakeShell(cluster)
    cluster.accept_loss()
    assert isinstance(get(shell), Missing)


def test_a_partition_whose_owner_is_gone_is_waited_for(cluster: FakeCluster):
    shell = FakeShell(cluster)
    shell.core.routing.targets[7] = None
    assert isinstance(put(shell), Done)
    assert shell.fetches == 1


def test_a_partition_whose_owner_stays_gone_ends_with_the_deadline(cluster: FakeCluster):
    shell = FakeShell(cluster)
    shell.core.routing.targets[7] = None
    shell.fetch_failure = "nobody answers"
    with pytest.raises(OperationTimeoutError, match="the owner of partition 7 is gone") as raised:
        put(shell)
    assert raised.value.outcome == "not_applied"


def test_limits_that_differ_between_client_and_node_are_said_and_not_tried_again(
    cluster: FakeCluster,
):
    shell = FakeShell(cluster)
    operation = shell.core.on_partition(7, make_put)
    next(operation)
    with pytest.raises(ProtocolError, match="smaller key or value limits"):
        operation.send(Refused(1, RefusalReason.TOO_LARGE, 7))


def test_what_cannot_be_counted_is_for_the_caller_to_know(cluster: FakeCluster):
    shell = FakeShell(cluster)
    operation = shell.core.on_partition(7, make_put)
    next(operation)
    refusal = Refused(1, RefusalReason.NOT_COUNTABLE, 7)
    with pytest.raises(StopIteration) as end:
        operation.send(refusal)
    assert end.value.value is refusal


def test_a_view_without_a_table_changes_nothing(cluster: FakeCluster):
    shell = FakeShell(cluster)
    used = shell.core.routing
    shell.core.adopt(msgspec.structs.replace(cluster.view(), table=None))
    assert shell.core.routing is used


def test_a_storage_process_is_still_there_whatever_address_its_node_is_said_to_have(
    cluster: FakeCluster,
):
    shell = FakeShell(cluster)
    target = shell.core.routing.targets[7]
    assert target is not None
    view = cluster.view()
    moved = [msgspec.structs.replace(node, host="10.0.0.1") for node in view.nodes]
    shell.core.adopt(msgspec.structs.replace(view, nodes=moved))
    assert shell.core.is_still_at(target)


def test_a_storage_process_without_partitions_is_not_there_any_more(cluster: FakeCluster):
    shell = FakeShell(cluster)
    target = shell.core.routing.targets[7]
    assert target is not None
    for partition in range(PARTITION_COUNT):
        cluster.move(partition, 0)
    shell.core.adopt(cluster.view())
    assert not shell.core.is_still_at(target)
    assert shell.core.owner_of(7) == shell.core.routing.targets[0].node_id  # type: ignore[union-attr]


def make_size(request: int, claim: Claim, _: object) -> Size:
    return Size(request, "m", claim.epochs)


def test_no_items_need_no_request(cluster: FakeCluster):
    shell = FakeShell(cluster)
    shell.run(shell.core.on_many([]))
    shell.run(shell.core.on_many([Portion([], make_size, lambda indexes, reply: ())]))
    assert shell.requests == []


def test_lost_requests_need_only_one_of_them_final_to_end_the_operation(cluster: FakeCluster):
    """Two break at once: one may have been applied, the other was never sent."""
    for first, second in permutations([Fault.LOST_AFTER, Fault.NOT_CONNECTED]):
        shell = FakeShell(cluster, once(first, second))
        with pytest.raises(OperationError, match="may have been applied") as raised:
            shell.map().clear()
        assert raised.value.outcome == "unknown"
        assert len(shell.requests) == 4  # One for each storage process, and none again.


def test_of_many_only_what_was_refused_is_asked_again(cluster: FakeCluster):
    shell = FakeShell(cluster, once(Fault.REFUSED, None, Fault.NOT_CONNECTED))
    taken: list[int] = []

    def take(indexes, reply):
        taken.extend(indexes)
        return ()

    shell.run(
        shell.core.on_many([Portion(range(PARTITION_COUNT), make_size, take, by_digest=False)])
    )
    assert sorted(taken) == list(range(PARTITION_COUNT))
    assert len(shell.requests) == 4 + 2


def test_items_are_in_order_also_when_they_are_asked_again(cluster: FakeCluster):
    seen: list[list[int]] = []

    def make(request, claim, indexes):
        seen.append(list(indexes))
        return make_size(request, claim, indexes)

    shell = FakeShell(cluster, once(*[Fault.REFUSED] * 4))
    shell.run(
        shell.core.on_many(
            [Portion(range(PARTITION_COUNT), make, lambda i, r: (), by_digest=False)]
        )
    )
    assert all(indexes == sorted(indexes) for indexes in seen)


def test_a_lost_partition_among_many_is_said_before_anything_is_sent(cluster: FakeCluster):
    cluster.lose(9)
    shell = FakeShell(cluster)
    with pytest.raises(PartitionLostError, match="partition 9"):
        shell.run(
            shell.core.on_many(
                [Portion(range(PARTITION_COUNT), make_size, lambda i, r: (), by_digest=False)]
            )
        )
    assert shell.requests == []


def test_a_late_reply_among_many_ends_the_operation(cluster: FakeCluster):
    shell = FakeShell(cluster, once(None, Fault.LATE))
    with pytest.raises(OperationTimeoutError, match="silent") as raised:
        shell.map().put_all({number: number for number in range(100)})
    assert raised.value.outcome == "unknown"


def test_a_read_lost_again_and_again_ends_with_the_deadline(cluster: FakeCluster):
    shell = FakeShell(cluster, lambda ask: Fault.LOST_BEFORE)
    with pytest.raises(OperationTimeoutError, match="breaks before") as raised:
        get(shell)
    assert raised.value.outcome == "not_applied"
