"""Applies whose workers die count once all the same, also when nodes die with them."""

from __future__ import annotations

import pytest

from grid.errors import GridError, OperationError
from grid.simulation import applying
from grid.simulation.applying import Applies
from grid.simulation.clients import SimulatedClient
from grid.wire.values import decode_record

from .samples import SOUND, WatchedCluster, formed

CLIENTS = 3
APPLIES = 40


@pytest.fixture(autouse=True)
def _mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applying, "DEATHS", 0.4)


def applied(cluster: WatchedCluster, clients: int) -> list[int | None]:
    """Return the sums that come back; None where it was applied and the sum is not known."""
    sums: list[int | None] = []

    def begin(client: SimulatedClient, applies: Applies, left: int) -> None:
        def ended(record: bytes | None, error: GridError | None) -> None:
            if error is not None:
                assert isinstance(error, OperationError)
                assert error.outcome == "applied", error
            sums.append(None if record is None else decode_record(record))
            if left > 1:
                begin(client, applies, left - 1)

        client.run(applies.counting("n", with_backup=True), ended)

    for number in range(clients):
        client = SimulatedClient(cluster, number)
        begin(client, Applies("m", client.core, cluster.random), APPLIES)
    assert cluster.comes_true(lambda: len(sums) == clients * APPLIES, 120.0)
    return sums


def test_each_apply_of_an_only_client_returns_the_next_sum() -> None:
    assert applied(formed(1, SOUND, 3), 1) == [*range(1, APPLIES + 1)]


def test_no_sum_comes_back_twice_or_too_high_while_a_node_dies() -> None:
    cluster = formed(2, SOUND, 4)
    cluster.clock.call_later(0.1, cluster.nodes[1].kill)
    cluster.clock.call_later(0.1, cluster.nodes[2].pause)
    cluster.clock.call_later(1.5, cluster.nodes[2].resume)
    sums = applied(cluster, CLIENTS)
    known = [one for one in sums if one is not None]
    assert len(known) == len(set(known)) > APPLIES
    assert max(known) <= CLIENTS * APPLIES
    assert applied(cluster, 1)[-1] == (CLIENTS + 1) * APPLIES


def test_nobody_knows_what_dead_workers_have_done_when_no_node_answers_the_last_one() -> None:
    cluster = formed(3, SOUND, 3)
    errors: list[GridError | None] = []
    client = SimulatedClient(cluster, 1)
    counting = Applies("m", client.core, cluster.random).counting("n", with_backup=False)
    client.run(counting, lambda _, error: errors.append(error))
    for node in list(cluster.running):
        node.kill()
    assert cluster.comes_true(lambda: bool(errors), 120.0)
    (error,) = errors
    assert isinstance(error, OperationError)
    assert error.outcome == "unknown"
