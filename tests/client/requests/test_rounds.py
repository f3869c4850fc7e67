"""The rounds of a call about many entries: what is sent, what again, and when no more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from grid.client.requests.rounds import Claim, Portion, Rounds
from grid.client.requests.steps import Ask, Lost
from grid.errors import OperationError, ProtocolError
from grid.storage.messages import Clear, Done, RefusalReason, Refused, Reply, Request, Size
from grid.types import PARTITION_COUNT
from tests.client.fakes import DEADLINE_S, FakeCluster, FakeShell


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(nodes=2, storage_processes=1)


def ask_size(request: int, claim: Claim, _: object) -> Request:
    return Size(request, "m", claim.epochs)


def ask_clear(request: int, claim: Claim, _: object) -> Request:
    return Clear(request, "m", claim.epochs)


def nothing_left(indexes: Sequence[int], reply: Reply) -> Sequence[int]:
    return ()


def everywhere(make=ask_size, take=nothing_left) -> Portion:
    return Portion(range(PARTITION_COUNT), make, take, by_digest=False)


def done(ask: Ask) -> Done:
    return Done(ask.request.request, 1)


def refused(ask: Ask, reason: RefusalReason = RefusalReason.WRONG_EPOCH) -> Refused:
    return Refused(ask.request.request, reason, 0)


def test_each_storage_process_is_asked_once_for_a_portion(cluster: FakeCluster):
    shell = FakeShell(cluster)
    rounds = Rounds(shell.core, [everywhere(), everywhere()])
    asks = list(rounds.asks(shell.core.routing))
    assert [ask.target.name for ask in asks] == ["n0", "n1", "n0", "n1"]
    for ask in asks:
        rounds.take(ask, done(ask))
    assert not rounds.has_work
    assert not rounds.troubled


def test_portions_are_taken_one_by_one_and_no_more_after_trouble(cluster: FakeCluster):
    shell = FakeShell(cluster)
    begun: list[int] = []

    def portions() -> Iterator[Portion]:
        for number in range(100):
            begun.append(number)
            yield everywhere()

    rounds = Rounds(shell.core, portions())
    asks = rounds.asks(shell.core.routing)
    first, second = next(asks), next(asks)
    rounds.take(first, refused(first))
    rounds.take(second, done(second))
    assert next(asks, None) is None
    assert rounds.troubled
    assert len(begun) == 1
    # The next round begins with what was refused, and goes on.
    again = rounds.asks(shell.core.routing)
    assert next(again).target == first.target
    assert next(again).target.name == "n0"


def test_a_reply_that_stopped_early_is_continued_in_the_same_round(cluster: FakeCluster):
    shell = FakeShell(cluster)
    rests: list[list[int]] = []
    rounds = Rounds(
        shell.core, [everywhere(take=lambda indexes, reply: rests.pop() if rests else ())]
    )
    asks = rounds.asks(shell.core.routing)
    first = next(asks)
    rest = sorted(p for p, _ in first.request.epochs)[:2]  # type: ignore[union-attr]
    rests.append(rest)
    rounds.take(first, done(first))
    second, third = list(asks)
    assert [p for p, _ in third.request.epochs] == rest  # type: ignore[union-attr]
    for ask in (second, third):
        rounds.take(ask, done(ask))
    assert not rounds.has_work


def test_nothing_of_a_portion_is_sent_while_one_of_its_partitions_has_no_owner(
    cluster: FakeCluster,
):
    cluster.lose(9)
    shell = FakeShell(cluster)
    rounds = Rounds(shell.core, [everywhere(), Portion([1], ask_size, nothing_left)])
    assert list(rounds.asks(shell.core.routing)) == []
    assert rounds.unserved == 9
    assert rounds.troubled
    assert rounds.has_work


def test_losses_and_writes_are_told(cluster: FakeCluster):
    shell = FakeShell(cluster)
    rounds = Rounds(shell.core, [everywhere()])
    lost, read = rounds.asks(shell.core.routing)
    rounds.take(lost, Lost("gone", is_sent=False))
    rounds.take(read, done(read))
    assert rounds.losses == [(lost, Lost("gone", is_sent=False))]
    assert rounds.reason == "gone"
    assert not rounds.has_written
    rounds = Rounds(shell.core, [everywhere(ask_clear)])
    (first, *_) = rounds.asks(shell.core.routing)
    rounds.take(first, done(first))
    assert rounds.has_written


def test_the_first_requests_bring_a_digest_and_after_a_refusal_every_epoch(cluster: FakeCluster):
    shell = FakeShell(cluster)
    claims: list[Claim] = []

    def make(request: int, claim: Claim, _: object) -> Request:
        claims.append(claim)
        return Size(request, "m", claim.epochs)

    targets = shell.core.routing.targets
    first_two = [p for p in range(PARTITION_COUNT) if targets[p] is targets[0]][:2]
    rounds = Rounds(shell.core, [Portion(first_two, make, nothing_left)])
    (ask,) = rounds.asks(shell.core.routing)
    rounds.take(ask, refused(ask))
    assert len(list(rounds.asks(shell.core.routing))) == 1
    first, second = claims
    assert first == ([], shell.core.routing.digest_of(ask.target), 1)
    assert second == ([(p, 1) for p in first_two], 0, 1)


def test_what_every_node_would_refuse_is_not_repeated(cluster: FakeCluster):
    shell = FakeShell(cluster)
    rounds = Rounds(shell.core, [everywhere()])
    (first, *_) = rounds.asks(shell.core.routing)
    with pytest.raises(ProtocolError, match="smaller key or value limits"):
        rounds.take(first, refused(first, RefusalReason.TOO_LARGE))


def test_what_is_asked_again_keeps_its_deadline_and_its_first_number(cluster: FakeCluster):
    shell = FakeShell(cluster)
    claims: list[Claim] = []

    def make(request: int, claim: Claim, _: object) -> Request:
        claims.append(claim)
        return ask_clear(request, claim, _)

    rounds = Rounds(shell.core, [Portion([0], make, nothing_left)])
    deadline_s = cluster.now_s + DEADLINE_S
    for result in (Lost("gone", is_sent=False), Lost("gone", is_sent=True), None):
        (ask,) = rounds.asks(shell.core.routing)
        assert ask.deadline_s == deadline_s
        cluster.now_s += 1
        rounds.take(ask, result or refused(ask, RefusalReason.NO_BACKUP))
        assert rounds.deadline_s == deadline_s
    assert rounds.unprotected == 0
    assert [claim.operation for claim in claims] == [1, 1, 1]
    # Neither a missing backup nor a loss says anything against the digest.
    assert {claim.digest for claim in claims} == {shell.core.routing.digest_of(ask.target)}


def test_a_write_without_reply_may_have_been_carried_out_and_a_read_not(cluster: FakeCluster):
    shell = FakeShell(cluster)
    for make, is_sent, expected in (
        (ask_clear, True, True),
        (ask_clear, False, False),
        (ask_size, True, False),
    ):
        rounds = Rounds(shell.core, [everywhere(make)])
        first, second = rounds.asks(shell.core.routing)
        assert rounds.may_have_written is (make is ask_clear)  # Asked just now.
        rounds.take(first, Lost("gone", is_sent=is_sent))
        rounds.take(second, Lost("gone", is_sent=False))
        assert rounds.may_have_written is expected
        # Whoever asks again has to remember it.
        for ask in rounds.asks(shell.core.routing):
            rounds.take(ask, refused(ask))
        assert rounds.may_have_written is expected


def test_a_number_that_is_forgotten_ends_the_call_only_if_it_was_sent_before(cluster: FakeCluster):
    shell = FakeShell(cluster)
    rounds = Rounds(shell.core, [everywhere(ask_clear)])

    def failures() -> list[OperationError | None]:
        return [rounds.failure]

    first, second = rounds.asks(shell.core.routing)
    rounds.take(first, refused(first, RefusalReason.FORGOTTEN))
    rounds.take(second, Lost("gone", is_sent=True))
    assert failures() == [None]
    first, second = rounds.asks(shell.core.routing)
    rounds.take(first, refused(first, RefusalReason.FORGOTTEN))
    assert failures() == [None]
    rounds.take(second, refused(second, RefusalReason.FORGOTTEN))
    (failure,) = failures()
    assert failure is not None
    assert failure.outcome == "unknown"
