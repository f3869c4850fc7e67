"""Parcels without receipt by themselves: what is kept, what is sent again, and when."""

from __future__ import annotations

import pytest

from grid.replication import unreceipted as unreceipted_module
from grid.replication.unreceipted import (
    BYTES_PER_S_MIN,
    RESEND_MAX_S,
    RESEND_S,
    UNRECEIPTED_MAX,
    SentParcel,
    Unreceipted,
)

BEGIN_S = 100.0
PAUSE_S = 0.01


def kept(*sizes_bytes: int) -> Unreceipted:
    """Return parcels of these sizes, numbered from 1 and sent a millisecond apart."""
    unreceipted = Unreceipted()
    for number, size_bytes in enumerate(sizes_bytes, 1):
        body = bytes([number]) * size_bytes
        sent_s = BEGIN_S + number / 1000
        unreceipted.parcels.append(SentParcel(number, body, sent_s, 0, 0, 0, []))
    return unreceipted


def numbers(bodies: list[bytes]) -> list[int]:
    return [body[0] for body in bodies]


def test_so_many_are_kept_until_a_receipt_takes_out_those_up_to_its_number() -> None:
    unreceipted = kept(*[10] * UNRECEIPTED_MAX)
    full = unreceipted.is_full
    assert [sent.number for sent in unreceipted.take(3)] == [1, 2, 3]
    assert (full, unreceipted.is_full) == (True, False)
    assert list(unreceipted.take(3)) == []
    unreceipted.clear()
    assert not unreceipted.parcels


def test_pause_doubles_up_to_its_bound_and_a_receipt_makes_it_short_again() -> None:
    unreceipted = kept(1, 1)
    pauses_s, now_s = [], BEGIN_S + 0.001
    for _ in range(4):
        pauses_s.append(round(unreceipted.resend_due_s - now_s, 3))
        assert unreceipted.resend_late(unreceipted.resend_due_s - 0.001) == []
        now_s = unreceipted.resend_due_s
        assert numbers(unreceipted.resend_late(now_s)) == [1, 2]
    assert pauses_s == [RESEND_S, 2 * RESEND_S, 4 * RESEND_S, RESEND_MAX_S]
    list(unreceipted.take(1))
    assert unreceipted.resend_due_s == pytest.approx(BEGIN_S + 0.002 + RESEND_S)


def test_large_parcel_is_given_the_time_that_it_takes() -> None:
    unreceipted = kept(BYTES_PER_S_MIN)
    assert unreceipted.resend_due_s == pytest.approx(BEGIN_S + 0.001 + RESEND_S + 1.0)


def test_gap_is_closed_at_once_but_not_again_at_once() -> None:
    unreceipted = kept(1, 1, 1)
    list(unreceipted.take(1))
    assert numbers(unreceipted.resend_after_gap(BEGIN_S, PAUSE_S)) == [2, 3]
    assert unreceipted.resend_after_gap(BEGIN_S + PAUSE_S / 2, PAUSE_S) == []
    assert numbers(unreceipted.resend_after_gap(BEGIN_S + PAUSE_S, PAUSE_S)) == [2, 3]


def test_so_much_is_sent_again_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unreceipted_module, "RESEND_BYTES", 150)
    unreceipted = kept(100, 100, 100, 100)
    assert numbers(unreceipted.resend_late(BEGIN_S + 1)) == [1, 2]
    list(unreceipted.take(2))
    assert numbers(unreceipted.resend_late(BEGIN_S + 2)) == [3, 4]


def test_oldest_decides_what_is_old() -> None:
    unreceipted = kept(1, 1)
    assert not unreceipted.is_old(0.1, BEGIN_S + 0.1)
    assert unreceipted.is_old(0.1, BEGIN_S + 0.1011)
    list(unreceipted.take(2))
    assert not unreceipted.is_old(0.1, BEGIN_S + 10)
    assert unreceipted.resend_late(BEGIN_S + 10) == []
