"""Results that kept: as many as agreed, the oldest go first, and it is known how far."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from grid.storage.messages import LARGE_VALUE_BYTES, Done, Found
from grid.storage.results import (
    CLIENTS_MAX,
    RESULTS_KEPT,
    ClientResults,
    Results,
    keep_in_all,
    kept,
)

CLIENT, OTHER = b"client-of-16-byt", b"another-16-bytes"

numbers = st.lists(st.integers(0, 400), unique=True, max_size=300)


def with_results(*clients: bytes) -> Results:
    results = Results()
    for client in clients:
        results.of(client).add(1, Done(1, 1))
    return results


def test_as_many_results_are_kept_as_agreed_and_no_more() -> None:
    known = ClientResults()
    for number in range(RESULTS_KEPT):
        known.add(number, Done(number, 1))
    assert (len(known.results), known.floor) == (RESULTS_KEPT, -1)
    known.add(RESULTS_KEPT, Done(RESULTS_KEPT, 1))
    assert (len(known.results), known.floor) == (RESULTS_KEPT, 0)
    assert min(known.results) == 1


@given(numbers)
@settings(derandomize=True, deadline=None)
def test_every_number_is_known_or_below_the_floor(sent: list[int]) -> None:
    known = ClientResults()
    for number in sent:
        known.add(number, Done(number, 1))
    assert list(known.results) == sent[-RESULTS_KEPT:]
    assert known.floor == max(sent[:-RESULTS_KEPT], default=-1)
    assert all(number in known.results or number <= known.floor for number in sent)


@given(numbers)
@settings(derandomize=True, deadline=None)
def test_keeping_in_many_partitions_is_keeping_in_each(sent: list[int]) -> None:
    one_by_one, together = with_results(CLIENT), [with_results(CLIENT), with_results(CLIENT)]
    for number in sent:
        one_by_one.of(CLIENT).add(number, Done(number, 2))
        keep_in_all(together, CLIENT, number, Done(number, 2))
    expected = one_by_one.clients[CLIENT]
    for results in together:
        known = results.clients[CLIENT]
        assert list(known.results.items()) == list(expected.results.items())
        assert known.floor == expected.floor


def test_results_of_one_client_are_not_anothers() -> None:
    results = with_results(CLIENT)
    assert results.of(OTHER).results == {}
    results.of(OTHER).add(1, Done(1, 7))
    assert results.of(CLIENT).results == {1: Done(1, 1)}


def test_client_that_is_silent_for_a_whole_interval_is_forgotten() -> None:
    results = with_results(CLIENT, OTHER)
    results.forget_idle()
    assert set(results.clients) == {CLIENT, OTHER}
    results.of(OTHER).add(2, Done(2, 1))
    results.forget_idle()
    assert set(results.clients) == {OTHER}


def test_client_that_only_writes_many_entries_at_a_time_is_not_silent() -> None:
    results = with_results(CLIENT)
    for number in range(5):
        results.forget_idle()
        keep_in_all([results], CLIENT, number, Done(number, 1))
    assert set(results.clients[CLIENT].results) == set(range(5))


def test_clients_are_bounded_and_a_silent_one_makes_room_first() -> None:
    clients = [number.to_bytes(16, "big") for number in range(CLIENTS_MAX)]
    results = with_results(*clients)
    results.forget_idle()
    for client in clients[:-1]:
        results.of(client)
    results.of(OTHER)
    assert set(results.clients) == {*clients[:-1], OTHER}
    for number in range(3 * CLIENTS_MAX):
        results.of(b"new" + number.to_bytes(13, "big"))
    assert len(results.clients) == CLIENTS_MAX


def test_large_record_is_not_kept() -> None:
    assert kept(7, bytes(LARGE_VALUE_BYTES)) == Found(7, bytes(LARGE_VALUE_BYTES))
    assert kept(7, bytes(LARGE_VALUE_BYTES + 1)) is None
