"""Writes that are sent again under their number, and what is said when that does not help."""

from __future__ import annotations

import pytest

from grid.client.requests.core import Tried
from grid.client.requests.rounds import Claim, Portion
from grid.client.requests.steps import Ask, Lost, Operation, Step
from grid.errors import (
    ClosedError,
    NotEnoughNodesError,
    OperationError,
    OperationTimeoutError,
    PartitionLostError,
)
from grid.storage.messages import (
    Done,
    Get,
    Missing,
    Put,
    PutAll,
    RefusalReason,
    Refused,
    Reply,
    TakeAny,
    WithBackup,
)
from grid.storage.results import RESULTS_KEPT
from tests.client.fakes import DEADLINE_S, FakeCluster, FakeShell, Fault, once, steps_of


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


@pytest.mark.parametrize("fault", [Fault.LOST_BEFORE, Fault.LOST_AFTER])
def test_a_write_that_may_have_been_applied_is_repeated_under_its_number(
    cluster: FakeCluster, fault: Fault
):
    shell = FakeShell(cluster, once(fault, Fault.NOT_CONNECTED, fault, Fault.REFUSED))
    reply = put(shell)
    assert isinstance(reply, Done)
    assert reply.version & 0xFFFFFFFFFF == 1  # The first write of its partition, and the last.
    assert len(shell.requests) == 5
    assert {request.request for request in shell.requests} == {1}


def test_what_has_no_number_is_not_repeated_once_it_was_sent(cluster: FakeCluster):
    for fault in (Fault.LOST_BEFORE, Fault.LOST_AFTER):
        shell = FakeShell(cluster, once(Fault.NOT_CONNECTED, Fault.REFUSED, fault))
        with pytest.raises(OperationError, match="n1 broke after the write was sent") as raised:
            shell.run(shell.core.on_partition(7, lambda n, e: TakeAny(n, "m", [(7, e)])))
        assert type(raised.value) is OperationError
        assert raised.value.outcome == "unknown"
        assert len(shell.requests) == 3


@pytest.mark.parametrize("later", [Fault.REFUSED, Fault.NOT_CONNECTED])
@pytest.mark.parametrize("first", [Fault.LOST_BEFORE, Fault.LOST_AFTER])
def test_a_write_that_was_sent_once_is_unknown_however_its_last_try_ends(
    cluster: FakeCluster, first: Fault, later: Fault
):
    faults = iter([first])
    shell = FakeShell(cluster, lambda ask: next(faults, later))
    with pytest.raises(OperationTimeoutError, match="an earlier try may have been") as raised:
        put(shell)
    assert raised.value.outcome == "unknown"


def test_a_write_that_was_sent_and_whose_partition_is_lost_then_is_unknown(cluster: FakeCluster):
    def die(ask: Ask) -> Fault:
        cluster.lose(7)
        return Fault.LOST_AFTER

    with pytest.raises(PartitionLostError, match="earlier try may have been applied") as raised:
        put(FakeShell(cluster, die))
    assert raised.value.outcome == "unknown"


def test_a_write_whose_client_is_closed_before_the_next_try_is_unknown(cluster: FakeCluster):
    for results in ([Lost("it broke", is_sent=True)], [Lost("it broke", is_sent=True), None]):
        operation = FakeShell(cluster).core.on_partition(7, make_put)
        steps_of(operation, *results)
        with pytest.raises(OperationError, match=r"closed; an earlier try may") as raised:
            operation.throw(ClosedError("this client is closed"))
        assert raised.value.outcome == "unknown"
    operation = FakeShell(cluster).core.on_partition(7, make_put)
    steps_of(operation, Lost("nobody there", is_sent=False))
    with pytest.raises(ClosedError):
        operation.throw(ClosedError("this client is closed"))


def test_what_was_tried_by_the_shell_goes_on_under_the_same_number(cluster: FakeCluster):
    shell = FakeShell(cluster)
    routing = shell.core.routing
    target = routing.targets[7]
    assert target is not None
    first = Ask(target, make_put(shell.core.next_number(), 1), shell.core.deadline())
    tried = Tried(routing, first, Lost("it broke", is_sent=True))
    assert isinstance(shell.run(shell.core.on_partition(7, make_put, tried=tried)), Done)
    assert shell.requests == [first.request]
    shell.meddle = lambda ask: Fault.REFUSED
    tried = Tried(routing, first, Lost("it broke", is_sent=True))
    with pytest.raises(OperationTimeoutError) as raised:
        shell.run(shell.core.on_partition(7, make_put, tried=tried))
    assert raised.value.outcome == "unknown"


# -- numbers that are forgotten, backups that are missing ---------------------------------


def finish(shell: FakeShell, operation: Operation[Reply], step: Step) -> Reply:
    """Carry out the rest of an operation, from this step on."""
    try:
        while True:
            step = operation.send(shell.answer(step))
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]


def overtake(shell: FakeShell) -> None:
    """Have so many writes follow that the first one's result is no longer kept."""
    for _ in range(RESULTS_KEPT + 1):
        put(shell)


def test_a_first_try_whose_number_is_too_old_gets_a_new_one(cluster: FakeCluster):
    shell = FakeShell(cluster)
    operation = shell.core.on_partition(7, make_put)
    late = next(operation)
    assert isinstance(late, Ask)
    overtake(shell)
    refusal = cluster.handle(late.target.place, late, shell.client_id)
    assert refusal == Refused(1, RefusalReason.FORGOTTEN, 7)
    reply = finish(shell, operation, operation.send(refusal))
    assert isinstance(reply, Done)
    assert reply.request == shell.requests[-1].request == RESULTS_KEPT + 3


def test_a_repeated_write_whose_number_is_too_old_is_unknown(cluster: FakeCluster):
    shell = FakeShell(cluster)
    operation = shell.core.on_partition(7, make_put)
    first = next(operation)
    assert isinstance(first, Ask)
    cluster.handle(first.target.place, first, shell.client_id)
    overtake(shell)
    step = operation.send(Lost("it broke", is_sent=True))
    with pytest.raises(OperationError, match="n1 no longer knows whether") as raised:
        finish(shell, operation, step)
    assert type(raised.value) is OperationError
    assert raised.value.outcome == "unknown"


def test_of_many_a_first_try_with_too_old_a_number_gets_a_new_one(cluster: FakeCluster):
    cluster = FakeCluster(nodes=1, storage_processes=1)
    shell = FakeShell(cluster)

    def forget_first(ask: Ask) -> Fault | None:
        if len(shell.requests) == 1:
            overtake(FakeShell.sharing(shell))
        return None

    shell.meddle = forget_first
    shell.run(shell.core.on_many([put_portion()]))
    first, *_, last = [r for r in shell.requests if isinstance(r, PutAll)]
    assert first.operation == first.request
    assert last.operation == last.request > first.request


def test_of_many_a_repeated_write_with_too_old_a_number_is_unknown():
    shell = FakeShell(FakeCluster(nodes=1, storage_processes=1))

    def lose_first(ask: Ask) -> Fault | None:
        if len(shell.requests) > 1:
            return None
        overtake(FakeShell.sharing(shell))
        return Fault.LOST_BEFORE

    shell.meddle = lose_first
    with pytest.raises(OperationError, match="n0 no longer knows whether") as raised:
        shell.run(shell.core.on_many([put_portion()]))
    assert raised.value.outcome == "unknown"


def put_portion() -> Portion:
    def make(request: int, claim: Claim, _: object) -> PutAll:
        epochs, digest, operation = claim
        return PutAll(request, "m", epochs, digest, b"\7", [b"k"], [b"v"], 0, operation)

    return Portion([7], make, lambda indexes, reply: ())


def put_with_backup(shell: FakeShell) -> Reply:
    return shell.run(shell.core.on_partition(7, lambda *both: WithBackup(make_put(*both))))


def test_a_backup_is_waited_for_until_there_is_one(cluster: FakeCluster):
    cluster.expose(7)
    shell = FakeShell(cluster)

    def protect_at_last(ask: Ask) -> None:
        if len(shell.requests) == 4:
            cluster.protect(7)

    shell.meddle = protect_at_last
    assert isinstance(put_with_backup(shell), Done)
    assert len(shell.requests) == 4


@pytest.mark.parametrize(
    ("nodes", "backup_count", "message"),
    [
        (2, 1, "the backup of partition 7 is not complete yet; wait until 'grid status'"),
        (1, 1, "partition 7 has no backup, for the cluster has one node only; start another"),
        (2, 0, r"keeps no backups \(replication.backup_count = 0\); set it to 1"),
    ],
)
def test_a_backup_that_stays_away_is_said_with_what_to_do(
    nodes: int, backup_count: int, message: str
):
    cluster = FakeCluster(nodes=nodes, backup_count=backup_count)
    cluster.expose(7)
    began_s = cluster.now_s
    with pytest.raises(NotEnoughNodesError, match=message) as raised:
        put_with_backup(FakeShell(cluster))
    assert raised.value.outcome == "not_applied"
    # Where there never will be one, nobody waits for it.
    assert (cluster.now_s >= began_s + DEADLINE_S) is bool(backup_count)
    assert isinstance(get(FakeShell(cluster)), Missing)


def test_a_backup_that_goes_away_between_two_tries_leaves_the_write_unknown(cluster: FakeCluster):
    def expose(ask: Ask) -> Fault | None:
        faults = {1: Fault.LOST_AFTER}
        if len(shell.requests) == 2:
            cluster.expose(7)
        return faults.get(len(shell.requests))

    shell = FakeShell(cluster, expose)
    with pytest.raises(NotEnoughNodesError, match="may have been applied") as raised:
        put_with_backup(shell)
    assert raised.value.outcome == "unknown"


def test_what_kept_a_write_from_a_backup_at_last_is_what_is_said(cluster: FakeCluster):
    cluster.expose(7)
    shell = FakeShell(cluster)
    shell.meddle = lambda ask: Fault.NOT_CONNECTED if len(shell.requests) > 1 else None
    with pytest.raises(OperationTimeoutError, match="nobody takes the connection"):
        put_with_backup(shell)
